// What the view shows, kept in the address (behind #, so that no sentence reaches a log), and the sentences of earlier searches.

export const MOST_SENTENCES = 8;
const HISTORY = "wsra.sentences";
const KEPT = 50;

/** The state of a page that nobody has touched. */
export const fresh = () => ({
  sentences: [], // texts
  cameras: null, // ids, or null for all
  from: null, // epoch seconds
  to: null,
  dailyFrom: "", // "22:00"
  dailyTo: "",
  topK: 20,
  accepted: null, // false alarms an hour
  least: 0, // percent
  foundOnly: false,
  view: null, // {from, to} of the strips, epoch seconds
  moment: null, // {query, video, start}: what is played
});

/** The part of an address behind #. */
export function toHash(state) {
  const given = new URLSearchParams();
  for (const sentence of state.sentences) given.append("q", sentence);
  for (const camera of state.cameras ?? []) given.append("camera", camera);
  const rest = {
    from: state.from, to: state.to, daily_from: state.dailyFrom, daily_to: state.dailyTo, top_k: state.topK === 20 ? null : state.topK,
    false_alarms: state.accepted, least: state.least || null, found: state.foundOnly ? 1 : null,
    view: state.view && `${state.view.from.toFixed(1)}~${state.view.to.toFixed(1)}`,
    moment: state.moment && `${state.moment.query}~${state.moment.video}~${state.moment.start.toFixed(2)}`,
  };
  for (const [name, value] of Object.entries(rest)) if (value !== null && value !== "") given.set(name, value);
  const text = given.toString();
  return text ? `#${text}` : "";
}

/** The state in an address; what cannot be read counts as not given. */
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = fresh();
  const number = (name, low, high) => {
    const value = given.get(name) === null ? NaN : Number(given.get(name));
    return Number.isFinite(value) && value >= low && value <= high ? value : null;
  };
  state.sentences = given.getAll("q").filter((text) => text.trim()).slice(0, MOST_SENTENCES);
  const cameras = given.getAll("camera").filter((id) => /^c[0-9a-f]{12}$/.test(id));
  state.cameras = cameras.length ? cameras : null;
  state.from = number("from", 0, 1e11);
  state.to = number("to", 0, 1e11);
  const isTime = (name) => (/^\d\d:\d\d$/.test(given.get(name) ?? "") ? given.get(name) : "");
  state.dailyFrom = isTime("daily_from");
  state.dailyTo = isTime("daily_to");
  state.topK = Math.round(number("top_k", 1, 100) ?? 20);
  state.accepted = number("false_alarms", 1e-9, 1e6);
  state.least = Math.round(number("least", 0, 100) ?? 0);
  state.foundOnly = given.get("found") === "1";
  const [from, to] = (given.get("view") ?? "").split("~").map(Number);
  state.view = Number.isFinite(from) && to > from ? { from, to } : null;
  const [query, video, start] = (given.get("moment") ?? "").split("~");
  if (/^v[0-9a-f]{12}$/.test(video ?? "") && Number.isFinite(Number(start))) state.moment = { query: Number(query) || 0, video, start: Number(start) };
  return state;
}

/** Write the state into the address; `isNew` makes a step that the browser's back button undoes. */
export function remember(state, isNew) {
  const address = location.pathname + toHash(state);
  if (address === location.pathname + location.hash) return;
  if (isNew) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** The sentences of earlier searches, the newest first. */
export function earlier() {
  try {
    const kept = JSON.parse(localStorage.getItem(HISTORY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((text) => typeof text === "string") : [];
  } catch {
    return []; // a browser that keeps nothing, or somebody else's text
  }
}

/** Put sentences before the earlier ones. */
export function keep(sentences) {
  write([...new Set([...sentences, ...earlier()])].slice(0, KEPT));
}

/** Drop all earlier sentences. */
export const forget = () => write([]);

function write(sentences) {
  try {
    localStorage.setItem(HISTORY, JSON.stringify(sentences));
  } catch {
    // A browser that keeps nothing has no history; the search itself does not need it.
  }
}
