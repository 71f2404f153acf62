// Keys of all pages: a key presses the button that names it. Pages work without scripts.
"use strict";

const find = (selector, root = document) => root.querySelector(selector);

function pressButton(event) {
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing) return;
  const target = find(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (target) {
    event.preventDefault();
    target.click();
  }
}

// After every script of the page has run: a button that is pressed earlier would leave the page.
document.addEventListener("DOMContentLoaded", () => document.addEventListener("keydown", pressButton));

function startDragging(form) {
  // A card that is dropped on another selects both and presses "merge", which asks before it merges.
  let dragged = null;
  const cardOf = (event) => event.target.closest("[data-identity]");
  const check = (card, checked) => (find("input[type=checkbox]", card).checked = checked);
  form.addEventListener("dragstart", (event) => {
    dragged = cardOf(event);
    event.dataTransfer.setData("text/plain", dragged.dataset.identity);
    event.dataTransfer.effectAllowed = "move";
  });
  form.addEventListener("dragover", (event) => {
    const card = cardOf(event);
    for (const other of form.querySelectorAll(".target")) if (other !== card) other.classList.remove("target");
    if (!card || !dragged || card === dragged) return;
    card.classList.add("target");
    event.preventDefault();
  });
  form.addEventListener("dragend", () => {
    for (const other of form.querySelectorAll(".target")) other.classList.remove("target");
    dragged = null;
  });
  form.addEventListener("drop", (event) => {
    const card = cardOf(event);
    if (!card || !dragged || card === dragged) return;
    event.preventDefault();
    for (const box of form.querySelectorAll("input[type=checkbox]")) box.checked = false;
    check(card, true);
    check(dragged, true);
    form.requestSubmit(find("button[value=merge]", form));
  });
}

if (find("#people [data-identity]")) startDragging(find("#people"));
