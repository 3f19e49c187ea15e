// Times in words, and where the ticks of a time axis are. Epoch seconds are shown in the browser's zone.

import { words } from "./strings.js";

const TIME = { hour: "2-digit", minute: "2-digit" };
const DATE = { weekday: "short", day: "numeric", month: "short", year: "numeric" };
const dated = new Intl.DateTimeFormat(words.locale, { ...DATE, ...TIME, second: "2-digit" });
const clock = new Intl.DateTimeFormat(words.locale, { ...TIME, second: "2-digit" });
const minutes = new Intl.DateTimeFormat(words.locale, TIME);
const day = new Intl.DateTimeFormat(words.locale, { day: "numeric", month: "short" });
const HOUR_S = 3600;
const DAY_S = 86400;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR_S), ...[1, 2, 7, 14, 30, 90].map((days) => days * DAY_S)];

/** "Mon, 23 Nov 2026, 14:05:10". */
export const wallClock = (epoch_s) => dated.format(epoch_s * 1000);

/** Seconds as "1:02:03" or "2:03". */
export function length(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const pair = (value) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${pair(m)}:${pair(s)}` : `${m}:${pair(s)}`;
}

/** A time of a camera: wall clock, or how far into its video. */
export const timeOf = (camera, at) => (camera.clock ? wallClock(at) : length(at));

/** What <input type="datetime-local"> holds for epoch seconds; empty for null. */
export function toField(epoch_s) {
  if (epoch_s === null) return "";
  const at = new Date(epoch_s * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/** Epoch seconds of such a field; null for an empty one. */
export function fromField(text) {
  const at = text ? new Date(text).getTime() : NaN;
  return Number.isNaN(at) ? null : at / 1000;
}

/** ISO 8601 with a zone, as the server reads it. */
export const iso = (epoch_s) => new Date(epoch_s * 1000).toISOString().replace("Z", "+00:00");

/**
 * Ticks of an axis: [{at, text, strong}], at least `gap` apart.
 * @param {{from: number, to: number}} view seconds
 * @param {boolean} isClock epoch seconds, at whole hours and days of the browser's zone; else seconds of a video
 * @param {number} most how many fit
 */
export function ticks(view, isClock, most) {
  const span = view.to - view.from;
  const step = STEPS_S.find((candidate) => span / candidate <= most) ?? STEPS_S.at(-1);
  if (!isClock) return startingAt(Math.ceil(view.from / step) * step, view.to, step).map((at) => ({ at, text: length(at), strong: at === 0 }));
  const made = [];
  const first = new Date(view.from * 1000);
  first.setHours(0, 0, 0, 0);
  if (step >= DAY_S) {
    const days = Math.round(step / DAY_S);
    for (const at = first; at.getTime() / 1000 <= view.to; at.setDate(at.getDate() + days)) {
      if (at.getTime() / 1000 >= view.from) made.push({ at: at.getTime() / 1000, text: day.format(at), strong: true });
    }
    return made;
  }
  for (const midnight = first; midnight.getTime() / 1000 <= view.to; midnight.setDate(midnight.getDate() + 1)) {
    const begin = midnight.getTime() / 1000;
    const end = new Date(midnight).setDate(midnight.getDate() + 1) / 1000;
    const from = begin + Math.max(0, Math.ceil((view.from - begin) / step) * step);
    for (const at of startingAt(from, Math.min(view.to, end - step / 2), step)) {
      const text = at === begin ? day.format(at * 1000) : (step < 60 ? clock : minutes).format(at * 1000);
      made.push({ at, text, strong: at === begin });
    }
  }
  return made;
}

function startingAt(from, to, step) {
  const made = [];
  for (let at = from; at <= to; at += step) made.push(at);
  return made;
}

/** Two ends of a view in words: the date only once. */
export const between = (view, isClock) => (isClock ? [wallClock(view.from), wallClock(view.to)] : [length(view.from), length(view.to)]);
