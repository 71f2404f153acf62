// Review: the next question without a new page, and the queue of answers that wait for the server.
"use strict";

const QUEUE = "passerby-answers";
const readQueue = () => JSON.parse(localStorage.getItem(QUEUE) || "[]");
const writeQueue = (queue) => localStorage.setItem(QUEUE, JSON.stringify(queue));
const makeKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("-");

function startReview() {
  const form = find("#answer");
  const questions = find("#questions");
  const touched = new Set(); // sightings of answered questions, since the questions were read
  const skipped = new Set();
  const done = []; // answered articles and the numbers of their actions
  let sending = null;

  const pairOf = (article) => `${article.dataset.first} ${article.dataset.second}`;
  const current = () => find("article:not([hidden])", questions);
  const isOpen = (article) => !article.dataset.answered && !skipped.has(pairOf(article));
  const isFree = (article) => article.dataset.groups.split(" ").every((id) => !touched.has(id));

  function showNext(offline = false) {
    const waiting = [...questions.children].filter(isOpen);
    const next = waiting.find(isFree) || (offline ? waiting[0] : null);
    for (const article of questions.children) article.hidden = article !== next;
    find("#done").hidden = Boolean(next) || sending !== null;
  }

  function showQueue(offline) {
    const box = find("#offline");
    box.hidden = !offline;
    box.textContent = box.dataset.text + readQueue().length;
  }

  async function showRefusal(reply) {
    const box = find("#refused");
    const tree = await reply.json().catch(() => null);
    box.textContent = box.dataset.text + (tree?.error?.message || reply.status);
    box.hidden = false;
  }

  async function refresh() {
    const reply = await fetch(location.href);
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    find("#progress").replaceWith(find("#progress", page));
    const shown = current();
    const keep = shown && isOpen(shown) && isFree(shown) ? shown : null;
    const fresh = [...find("#questions", page).children].filter((article) => !keep || pairOf(article) !== pairOf(keep));
    questions.replaceChildren(...(keep ? [keep, ...fresh] : fresh));
    touched.clear();
  }

  async function post(path, body) {
    return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }

  async function send() {
    let offline = false;
    try {
      for (let queue = readQueue(); queue.length; queue = readQueue()) {
        const reply = await post("/v1/answers", queue[0]);
        if (reply.status >= 500 || reply.status === 429) throw new Error("later");
        if (reply.status === 401) return location.assign("/sign-in");
        const entry = done.findIndex((item) => item.key === queue[0].key);
        if (reply.ok) {
          const { action } = await reply.json();
          if (entry >= 0) done[entry].action = action;
        } else {
          if (entry >= 0) done.splice(entry, 1); // there is no action to undo
          await showRefusal(reply);
        }
        writeQueue(readQueue().slice(1));
      }
      await refresh();
    } catch {
      offline = true;
      setTimeout(flush, 2000);
    }
    sending = null;
    showQueue(offline);
    showNext(offline);
  }

  function flush() {
    sending = sending || send();
    return sending;
  }

  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    const article = current();
    if (!article) return;
    const { first, second, groups } = article.dataset;
    const key = makeKey();
    find("#refused").hidden = true;
    article.dataset.answered = "yes";
    groups.split(" ").forEach((id) => touched.add(id));
    done.push({ article, pair: pairOf(article), key, action: null });
    writeQueue([...readQueue(), { first, second, answer: event.submitter.value, key }]);
    const work = sending ? sending.then(flush) : flush();
    showNext(!find("#offline").hidden);
    return work;
  });

  find("#skip")?.addEventListener("click", (event) => {
    event.preventDefault();
    const article = current();
    if (article) skipped.add(pairOf(article));
    showNext(!find("#offline").hidden);
  });

  find("#undo")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) await sending;
    const last = done.pop();
    const queue = readQueue();
    if (queue.length) writeQueue(queue.slice(0, -1));
    else {
      try {
        const reply = await post("/v1/undo", { action: last ? last.action : null });
        if (!reply.ok) return showRefusal(reply);
        await refresh();
      } catch {
        if (last) done.push(last);
        return showQueue(true);
      }
    }
    if (last) {
      delete last.article.dataset.answered;
      const same = [...questions.children].find((article) => pairOf(article) === last.pair);
      same?.remove();
      questions.prepend(last.article);
      last.article.dataset.groups.split(" ").forEach((id) => touched.delete(id));
      for (const article of questions.children) article.hidden = article !== last.article;
      find("#done").hidden = true;
    } else showNext();
    showQueue(!find("#offline").hidden);
  });

  if (readQueue().length) flush();
}

startReview();
