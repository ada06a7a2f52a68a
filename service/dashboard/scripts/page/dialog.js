/** A form in a modal dialog. The browser keeps the focus inside and gives it back; Escape closes it. */

import { fill, h, uniqueId } from "./elements.js";
import { problemBox } from "./notices.js";

/**
 * @param {object} what
 * @param {string} what.title
 * @param {Array} what.content fields and text
 * @param {string} what.action what the button says
 * @param {boolean} [what.dangerous]
 * @param {() => Promise<void>} what.submit closes the dialog unless it throws, which is then shown
 */
export function openDialog({ title, content, action, dangerous = false, submit }) {
  const heading = uniqueId("dialog");
  const said = h("div", { role: "presentation" });
  const go = h("button", { class: dangerous ? "danger" : "primary" }, action);
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const form = h(
    "form",
    { novalidate: false, onsubmit: (event) => attempt(event) },
    h("h2", { id: heading }, title),
    content,
    said,
    h("div", { class: "actions" }, cancel, go),
  );
  const dialog = h("dialog", { "aria-labelledby": heading, onclose: () => dialog.remove() }, form);

  async function attempt(event) {
    event.preventDefault();
    go.disabled = true;
    try {
      await submit();
      dialog.close();
    } catch (error) {
      fill(said, problemBox(error));
    } finally {
      go.disabled = false;
    }
  }

  document.body.append(dialog);
  dialog.showModal();
  if (dangerous) cancel.focus();
  return dialog;
}

/** A labelled control, with a hint below it. */
export function field(label, control, hint = null) {
  control.id ||= uniqueId("field");
  const note = hint && h("small", { id: `${control.id}-hint` }, hint);
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, note);
}

/** A labelled check box. */
export function check(label, control) {
  return h("label", { class: "check" }, control, label);
}
