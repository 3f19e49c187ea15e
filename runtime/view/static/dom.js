// Elements: names of files and sentences only ever become text nodes and attributes, never markup.

import { words } from "./strings.js";

/** Text in which characters that turn the direction of what follows are seen, not obeyed: a file's name could look like another one. */
export const visible = (text) =>
  String(text).replace(/[\u202a-\u202e\u2066-\u2069]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);

/** The element of this id. */
export const byId = (id) => document.getElementById(id);

/**
 * A new element. Options: `class`, `text`, `on` (listeners), and attributes by their names; null, undefined and false leave one out.
 */
export function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = visible(value);
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A button that submits nothing. */
export const button = (text, listener, options = {}) => make("button", { type: "button", text, ...options, on: { click: listener } });

/** Fill what the HTML leaves open: `data-text` and `data-label` name a string. */
export function fillIn(root) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = words[element.dataset.text];
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
}

/** Show or hide an element; with a text it gets that, too. */
export function show(element, shown, text) {
  element.hidden = !shown;
  if (text !== undefined) element.textContent = visible(text);
}

/** Let children be exactly these, in this order; those that stay are not taken out, so that focus and pictures stay. */
export function setChildren(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  children.forEach((child, place) => {
    if (parent.childNodes[place] !== child) parent.insertBefore(child, parent.childNodes[place] ?? null);
  });
}

/** Whether keys go into a field now, so that letters are no commands. */
export function isTyping(event) {
  const element = event.target;
  if (!(element instanceof HTMLElement)) return false;
  return element.matches("input:not([type=checkbox], [type=range]), textarea, select") || element.isContentEditable;
}

/** Call once, `wait` milliseconds after the last of many calls. */
export function later(call, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), wait);
  };
}

/** Call at once, but at most every `wait` milliseconds; the last of many calls is never left out. */
export function paced(call, wait) {
  let timer = null;
  let next = 0;
  let last = [];
  return (...given) => {
    last = given;
    timer ??= setTimeout(() => {
      timer = null;
      next = performance.now() + wait;
      call(...last);
    }, Math.max(0, next - performance.now()));
  };
}
