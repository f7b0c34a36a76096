// SPDX-License-Identifier: Apache-2.0
// Text and elements. Nothing is ever markup.

// Only what has changed, so that nothing is laid out again for nothing.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

const NAMESPACE = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
