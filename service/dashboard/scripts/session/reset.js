/** The dialog that asks before a session forgets what it has observed. */

import { api, newKey } from "../api/client.js";
import { openDialog } from "../page/dialog.js";
import { h } from "../page/elements.js";
import { plural } from "../page/formats.js";
import { notify } from "../page/notices.js";

/** @param {Series} series */
export function openReset(series) {
  const { session, step } = series.session;
  const key = newKey();
  openDialog({
    title: `Reset ${session}?`,
    content: h("p", {}, `It forgets its ${plural(step, "observation")} and their forecasts. Its settings stay. This cannot be undone.`),
    action: "Reset",
    dangerous: true,
    async submit() {
      await api.reset(series.session, key);
      notify(`${session} is reset.`);
      series.refresh();
    },
  });
}
