// The box of a track over a playing video, between the times at which it is known.

const HIDDEN_S = 2; // where it is unknown for longer than this, no box is drawn, as in reports

/** The box at a second: [left, top, right, bottom] as shares of the picture, or null. `boxes` are [t, x0, y0, x1, y1] in order of t. */
export function boxAt(boxes, at) {
  if (!boxes.length) return null;
  let next = boxes.findIndex((box) => box[0] >= at);
  if (next < 0) next = boxes.length;
  const [before, after] = [boxes[next - 1] ?? boxes[next], boxes[next] ?? boxes[next - 1]];
  if (Math.min(Math.abs(before[0] - at), Math.abs(after[0] - at)) > HIDDEN_S) return null;
  const part = after[0] > before[0] ? Math.min(1, Math.max(0, (at - before[0]) / (after[0] - before[0]))) : 0;
  return [1, 2, 3, 4].map((side) => before[side] + part * (after[side] - before[side]));
}

/** Where the picture lies within a video element that keeps its shape: {left, top, width, height} in CSS pixels. */
export function pictureIn(video) {
  const scale = Math.min(video.clientWidth / video.videoWidth, video.clientHeight / video.videoHeight);
  const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
  return { left: (video.clientWidth - width) / 2, top: (video.clientHeight - height) / 2, width, height };
}

/** Draw a box (or none) on a canvas that covers the video. Returns whether there is one. */
export function drawBox(canvas, video, box) {
  const ratio = window.devicePixelRatio || 1;
  const size = { width: Math.round(video.clientWidth * ratio), height: Math.round(video.clientHeight * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!box || !video.videoWidth) return false;
  const picture = pictureIn(video);
  const [left, top, right, bottom] = box;
  const place = [picture.left + left * picture.width, picture.top + top * picture.height, (right - left) * picture.width, (bottom - top) * picture.height];
  for (const [colour, thick] of [["#000", 5], ["#ffbf00", 2.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = thick * ratio;
    context.strokeRect(...place.map((side) => side * ratio));
  }
  return true;
}
