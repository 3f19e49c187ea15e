// One strip on its canvas: lanes of heat, moments, the cursor, and the axis of a camera without a clock.

import { drawAxis } from "./axis.js";
import { drawLane } from "./heat.js";

// Heights in CSS pixels where 1rem is 16 px.
const LANE_PX = 16;
const ALONE_PX = 26; // one sentence alone has a higher lane
const MARK_PX = 7;
const AXIS_PX = 20;

/**
 * @typedef {object} Strip
 * @property {{from: number, to: number}} view
 * @property {boolean} isClock
 * @property {number} lanes
 * @property {{query: number, from: number, to: number, isOpen: boolean}[]} moments
 * @property {((query: number, from: number, to: number) => number)|null} highest as of `Heat`; null before anything came
 * @property {number|null} cursor
 * @property {number} unit as of `axis.js`
 */

const laneHeight = (strip) => (strip.lanes === 1 ? ALONE_PX : LANE_PX);

/** The height of a strip in CSS pixels. */
export const heightOf = (strip) => Math.round(strip.unit * (MARK_PX + strip.lanes * (laneHeight(strip) + 1) + (strip.isClock ? 0 : AXIS_PX)));

/** Draw a strip over its whole canvas. */
export function drawStrip(canvas, strip, paint) {
  const { view } = strip;
  const [width, ratio] = [canvas.width, (strip.unit * canvas.height) / heightOf(strip)];
  const context = canvas.getContext("2d");
  const x = (at) => ((at - view.from) / (view.to - view.from)) * width;
  context.clearRect(0, 0, width, canvas.height);
  for (let number = 0; number < strip.lanes; number += 1) {
    const top = Math.round((MARK_PX + number * (laneHeight(strip) + 1)) * ratio);
    const place = { left: 0, top, width, height: Math.round(laneHeight(strip) * ratio) };
    if (strip.highest) drawLane(context, place, (from, to) => strip.highest(number, from, to), view, { heat: paint.heat[number], footage: paint.footage });
    context.strokeStyle = context.fillStyle = paint.text;
    for (const moment of strip.moments) if (moment.query === number) drawMark(context, place, moment, x, ratio);
    if (strip.lanes > 1) drawNumber(context, place, number, ratio, paint);
  }
  const place = { width, ratio: ratio / strip.unit, top: canvas.height - AXIS_PX * ratio, height: AXIS_PX * ratio };
  if (!strip.isClock) drawAxis(context, place, view, false, paint);
  if (strip.cursor === null) return;
  context.fillStyle = paint.text;
  context.fillRect(Math.round(x(strip.cursor)) - ratio / 2, 0, Math.max(1, 1.5 * ratio), canvas.height);
}

/** A frame around a moment, with a pointer above it. */
function drawMark(context, place, moment, x, ratio) {
  const [from, to] = [x(moment.from), Math.max(x(moment.to), x(moment.from) + 2 * ratio)];
  if (to < 0 || from > place.width) return;
  context.lineWidth = (moment.isOpen ? 2.5 : 1.25) * ratio;
  context.strokeRect(from, place.top + ratio / 2, to - from, place.height - ratio);
  const [middle, high] = [(from + to) / 2, 4.5 * ratio];
  context.beginPath();
  context.moveTo(middle - high, place.top - high - ratio);
  context.lineTo(middle + high, place.top - high - ratio);
  context.lineTo(middle, place.top);
  context.fill();
}

/** The number of the sentence, so that colours need not be told apart. */
function drawNumber(context, place, number, ratio, paint) {
  context.font = `bold ${11 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  context.fillStyle = paint.back;
  context.globalAlpha = 0.75;
  context.fillRect(0, place.top, 13 * ratio, place.height);
  context.globalAlpha = 1;
  context.fillStyle = paint.text;
  context.fillText(String(number + 1), 3 * ratio, place.top + place.height / 2 + ratio);
}
