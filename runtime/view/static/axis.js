// A time axis on a canvas, and canvases as sharp as the screen.

import { ticks } from "./times.js";

const GAP_PX = 92;

/**
 * Give a canvas as many pixels as the screen has there. Its width is passed, since to ask hundreds of canvases for it, one after the other,
 * takes long. Returns its size and the pixels of one CSS pixel.
 */
export function sharpen(canvas, height_css, width_css) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(width_css * ratio));
  const height = Math.round(height_css * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  if (canvas.dataset.height !== String(height_css)) canvas.style.setProperty("height", `${height_css}px`);
  canvas.dataset.height = height_css;
  return { width, height, ratio };
}

/** CSS pixels for each pixel of a page with the usual font: more on large screens. */
export const unit = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;

/** Colours of the page as they are now: light or dark. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    text: read("--text"), soft: read("--soft"), line: read("--line"), footage: read("--footage"), link: read("--link"), back: read("--back"),
    heat: Array.from({ length: 8 }, (_, number) => read(`--s${number + 1}`)),
  };
}

/** Draw ticks and their words over the width of a canvas from `top` on, all in device pixels. */
export function drawAxis(context, { top, width, height, ratio }, view, isClock, paint) {
  const size = 11.5 * unit();
  context.font = `${size * ratio}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  let free = -Infinity;
  for (const tick of ticks(view, isClock, Math.max(1, width / ratio / ((GAP_PX * size) / 11.5)))) {
    const x = Math.round(((tick.at - view.from) / (view.to - view.from)) * width);
    context.fillStyle = tick.strong ? paint.text : paint.line;
    context.fillRect(x, top, Math.max(1, ratio), height * (tick.strong ? 1 : 0.4));
    const wide = context.measureText(tick.text).width;
    const left = Math.min(x + 4 * ratio, width - wide);
    if (left < free) continue;
    free = left + wide + 8 * ratio;
    context.fillStyle = tick.strong ? paint.text : paint.soft;
    context.fillText(tick.text, left, top + height);
  }
}
