// The part of time that strips show: zoom and pan within what there is.

const LEAST_S = 4;

/** A view of a whole; both are {from, to} in seconds. */
export class View {
  constructor(whole) {
    this.setWhole(whole);
    this.now = { ...whole };
  }

  setWhole(whole) {
    this.whole = { from: whole.from, to: Math.max(whole.to, whole.from + LEAST_S) };
  }

  get span() {
    return this.now.to - this.now.from;
  }

  get isWhole() {
    return this.now.from <= this.whole.from && this.now.to >= this.whole.to;
  }

  /** Show [from, to], as far as it lies in the whole. */
  show(from, to) {
    const most = this.whole.to - this.whole.from;
    const span = Math.min(most, Math.max(LEAST_S, to - from));
    const start = Math.min(Math.max(from, this.whole.from), this.whole.to - span);
    this.now = { from: start, to: start + span };
  }

  showAll() {
    this.now = { ...this.whole };
  }

  /** Make the span `factor` times as long, with `at` where it was. */
  zoom(factor, at = (this.now.from + this.now.to) / 2) {
    const span = Math.min(this.whole.to - this.whole.from, Math.max(LEAST_S, this.span * factor));
    const start = at - ((at - this.now.from) / this.span) * span;
    this.show(start, start + span);
  }

  /** Move by a share of the span. */
  pan(part) {
    this.show(this.now.from + part * this.span, this.now.to + part * this.span);
  }

  /** Move so that a time is within. */
  reveal(at) {
    if (at < this.now.from) this.show(at, at + this.span);
    else if (at > this.now.to) this.show(at - this.span, at);
  }
}
