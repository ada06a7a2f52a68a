/** When work is done that is asked for often, or again and again. */

/** A function that does the work once, that long after it was first asked for, however often that was. */
export function coalesced(work, ms, signal) {
  let timer = null;
  signal.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      if (!signal.aborted) work();
    }, ms);
  };
}

/** Do the work again and again, that long after it was last done; not while nobody looks. */
export function again(work, ms, signal) {
  const timer = setTimeout(async () => {
    if (!document.hidden) await work();
    if (!signal.aborted) again(work, ms, signal);
  }, ms());
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}
