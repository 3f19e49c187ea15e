// Pointer and wheel over a strip or over the axis: a click plays, a drag pans, a wheel zooms.

export const NEAR_PX = 5; // as far as this a pointer may miss, or move within a click

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import("./strips.js").Strips} strips
 * @param {object|null} row of the strip; null for the axis
 */
export function listenTo(canvas, strips, row) {
  let pressed = null;
  const at = (event) => {
    const view = strips.viewOf(row);
    return view.now.from + (event.offsetX / Math.max(1, canvas.clientWidth)) * view.span;
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = { x: event.clientX, from: strips.viewOf(row).now.from, isDrag: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (row) row.isHovered = true;
    if (pressed && Math.abs(event.clientX - pressed.x) > NEAR_PX) pressed.isDrag = true;
    if (pressed?.isDrag) {
      const view = strips.viewOf(row);
      const from = pressed.from - ((event.clientX - pressed.x) / canvas.clientWidth) * view.span;
      view.show(from, from + view.span);
      strips.viewChanged(row);
    } else if (row) strips.setCursor(row, at(event));
  });
  canvas.addEventListener("pointerup", (event) => {
    const isClick = pressed && !pressed.isDrag;
    pressed = null;
    strips.last = row;
    if (isClick && row) strips.choose(row, at(event));
  });
  canvas.addEventListener("pointercancel", () => (pressed = null));
  canvas.addEventListener("pointerleave", () => {
    if (!row) return;
    row.isHovered = false;
    strips.drawRow(row);
  });
  canvas.addEventListener("wheel", (event) => {
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) strips.pan(row, Math.sign(event.deltaX) * 0.1);
    else if (!row || event.ctrlKey || event.shiftKey) strips.zoom(row, event.deltaY > 0 ? 1.25 : 0.8, at(event));
    else return; // the page scrolls
    event.preventDefault();
  }, { passive: false });
}
