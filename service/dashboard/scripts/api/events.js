/** Server-Sent Events out of the chunks of a response: fetch can send headers, which EventSource cannot. */

const LINE_END = /\r\n|\n|\r(?!$)/;

/** Yields {id, type, data} for each event, and null for each chunk that came, also where it holds a comment only. */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let lines = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(LINE_END);
    rest = parts.pop();
    yield null;
    for (const line of parts) {
      if (line !== "") {
        lines.push(line);
      } else if (lines.length) {
        const event = parsed(lines);
        lines = [];
        if (event.data !== null || event.id !== null) yield event;
      }
    }
  }
}

function parsed(lines) {
  const event = { id: null, type: "message", data: null };
  for (const line of lines) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "id") event.id = value;
    else if (field === "event") event.type = value;
    else if (field === "data") event.data = event.data === null ? value : `${event.data}\n${value}`;
  }
  return event;
}
