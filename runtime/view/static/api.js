// What the server is asked: addresses, JSON, streams of events. An error is an Error whose message is one plain sentence.

import { words } from "./strings.js";
import { iso } from "./times.js";

/** The parameters of a search, as /api/ask, /api/strips and the files to hand over take them. */
export function searchOf(state, archive) {
  const given = new URLSearchParams();
  for (const sentence of state.sentences) given.append("q", sentence);
  for (const camera of state.cameras ?? []) given.append("camera", camera);
  if (archive.from_s !== null && (state.from !== null || state.to !== null)) {
    given.set("from", iso(state.from ?? Math.min(archive.from_s, state.to - 1)));
    given.set("to", iso(state.to ?? Math.max(archive.to_s, state.from) + 1));
  }
  if (state.dailyFrom && state.dailyTo) {
    given.set("daily_from", state.dailyFrom);
    given.set("daily_to", state.dailyTo);
  }
  given.set("top_k", state.topK);
  if (state.accepted !== null) given.set("false_alarms", state.accepted);
  return given;
}

/** JSON of an address. */
export async function getJson(address, options = {}) {
  const response = await reach(address, options);
  return response.json();
}

/** POST JSON, and read JSON. */
export const postJson = (address, content) =>
  getJson(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });

/** A file with the name that the server gives it. */
export async function getFile(address) {
  const response = await reach(address, {});
  const name = /filename="?([^";]+)"?/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "wsra";
  return { name, content: await response.blob() };
}

/**
 * Read a stream of server-sent events to its end: `on(event, data)` for each. EventSource would hide why a request was refused, and would
 * ask once more by itself.
 */
export async function readEvents(address, signal, on) {
  const response = await reach(address, { signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest = (rest + value).replaceAll("\r\n", "\n");
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      tell(rest.slice(0, end), on);
      rest = rest.slice(end + 2);
    }
  }
}

function tell(block, on) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length) on(event, JSON.parse(data.join("\n")));
}

async function reach(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(words.unreachable);
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => null);
  throw new Error(told?.message ?? words.notPlain(response.status));
}

/** The address of a picture of a moment: the crop, or the whole frame without a box. */
export function stillOf(video, at_s, width, box) {
  const given = new URLSearchParams({ t: at_s.toFixed(2), width });
  if (box) given.set("box", box.map((side) => side.toFixed(4)).join(","));
  return `/media/${video}/still.jpg?${given}`;
}
