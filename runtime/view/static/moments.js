// Moments as the page keeps them: with a key, their sentence, and their place on the axis of their camera.

/**
 * @typedef {object} Kept
 * @property {string} key the same for the same moment, whenever it comes
 * @property {number} query number of the sentence, from 0
 * @property {object} data the moment as the server gives it
 * @property {string} camera_id
 * @property {number} from on the axis of its camera: epoch seconds, or seconds of the video
 * @property {number} to
 * @property {boolean} found false for a best candidate
 */

/** @returns {Kept} */
export function keptMoment(data, query, found, cameras) {
  const part = shownPart(data);
  const from = cameras.get(data.camera_id)?.clock && data.epoch_s !== null ? data.epoch_s : data.start_s;
  return {
    key: keyOf(query, part?.video ?? data.video, data.start_s) + (data.track ?? ""),
    query, data, found, from, camera_id: data.camera_id, to: from + data.end_s - data.start_s, isOpen: false,
  };
}

/** What a link says of a moment. */
export const linkOf = (moment) => {
  const video = shownPart(moment.data)?.video;
  return video ? { query: moment.query, video, start: moment.data.start_s } : null;
};

/** Whether a link means this moment. */
export function isMeant(moment, link) {
  const mine = linkOf(moment);
  return mine !== null && mine.video === link.video && mine.query === link.query && Math.abs(mine.start - link.start) < 0.02;
}

/** The part of a moment with its best second, else the first one. */
export const shownPart = (data) => data.parts.find((part) => part.best_s !== null) ?? data.parts[0] ?? null;

/** The best of some moments, the best first, each once. */
export function bestOf(moments, most) {
  const each = new Map(moments.map((moment) => [moment.key, moment]));
  return [...each.values()].sort((one, other) => other.data.score - one.data.score).slice(0, most);
}

const keyOf = (query, video, start_s) => `${query}~${video}~${start_s.toFixed(2)}~`;
