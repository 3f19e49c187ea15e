// The numbers behind heat strips: bins of [from, to], the highest logit of each, one lane for each sentence.

/** What was computed for one camera: `lanes[sentence][bin]` is the highest logit - theta in that bin, NaN where nothing was recorded. */
class Bins {
  constructor(window, count, sentences) {
    this.window = window;
    this.count = count;
    this.lanes = Array.from({ length: sentences }, () => new Float32Array(count).fill(NaN));
  }

  /** Take what one recording says; where recordings overlap the higher value stays. */
  take(query, first, values) {
    const lane = this.lanes[query];
    values.forEach((value, place) => {
      const bin = first + place;
      if (value !== null && bin >= 0 && bin < this.count && !(lane[bin] >= value)) lane[bin] = value;
    });
  }
}

/** The strips of one question: of each camera the bins of one window. */
export class Heat {
  /**
   * @param {number} sentences how many
   * @param {number} count bins of each window
   * @param {(camera: string) => {from: number, to: number}} windowOf the whole of what was asked of a camera
   */
  constructor(sentences, count, windowOf) {
    this.sentences = sentences;
    this.count = count;
    this.windowOf = windowOf;
    this.cameras = new Map();
  }

  take(strip) {
    let bins = this.cameras.get(strip.camera);
    if (!bins) this.cameras.set(strip.camera, (bins = new Bins(this.windowOf(strip.camera), this.count, this.sentences)));
    bins.take(strip.query, strip.first, strip.values);
  }

  /** Take over the cameras of a finer or newer question. */
  replaceBy(newer) {
    for (const [camera, bins] of newer.cameras) this.cameras.set(camera, bins);
  }

  /** The highest logit - theta of a sentence between two times; NaN where nothing was recorded. */
  highest(camera, query, from, to) {
    const bins = this.cameras.get(camera);
    if (!bins || query >= bins.lanes.length) return NaN;
    const { window, count } = bins;
    const per_s = count / (window.to - window.from);
    const first = Math.max(0, Math.floor((from - window.from) * per_s));
    const last = Math.min(count, Math.max(first + 1, Math.ceil((to - window.from) * per_s - 1e-6)));
    let found = NaN;
    for (const value of bins.lanes[query].subarray(first, last)) if (value > found || Number.isNaN(found)) found = value;
    return found;
  }
}

/** A logit - theta as a share: 1/2 where a second speaks as much for the sentence as against it. */
export const share = (logit) => 1 / (1 + Math.exp(-logit));

const LEVELS = 24;

/**
 * Draw one lane of a strip.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {{left: number, top: number, width: number, height: number}} place in device pixels
 * @param {(from: number, to: number) => number} highest as `Heat.highest` of this lane
 * @param {{from: number, to: number}} view what the width shows
 * @param {{heat: string, footage: string}} colours
 */
export function drawLane(context, place, highest, view, colours) {
  const per_pixel = (view.to - view.from) / place.width;
  const level = (pixel) => {
    const value = highest(view.from + pixel * per_pixel, view.from + (pixel + 1) * per_pixel);
    return Number.isNaN(value) ? -1 : Math.round(share(value) * LEVELS);
  };
  for (let first = 0; first < place.width; ) {
    const now = level(first);
    let end = first + 1;
    while (end < place.width && level(end) === now) end += 1;
    if (now >= 0) {
      context.globalAlpha = 1;
      context.fillStyle = colours.footage;
      context.fillRect(place.left + first, place.top, end - first, place.height);
      context.globalAlpha = now / LEVELS;
      context.fillStyle = colours.heat;
      context.fillRect(place.left + first, place.top, end - first, place.height);
    }
    first = end;
  }
  context.globalAlpha = 1;
}
