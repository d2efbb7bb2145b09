"use strict";
const evidence = JSON.parse(document.getElementById("evidence").textContent);
const dialog = document.getElementById("questions");

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function chip(page, code) {
  const names = ["unscored", page.negative, "neither or both", page.positive, "neither", "both", "refused", "cut"];
  const classes = ["unscored", "negative", "neutral", "positive", "neutral", "neutral", "unscored", "unscored"];
  return element("span", "chip " + classes[code], names[code]);
}

// Pages of questions: some are in this page, the others are files that call loaded().
const waiting = {};

function loaded(key, page) {
  evidence.pages[key] = page;
  for (const ready of waiting[key] ?? []) ready(page);
  delete waiting[key];
}

// Hands the page of questions that has a row of a system to `ready`, or null where there is none.
function find(system, row, ready) {
  const firsts = evidence.systems[system];
  const number = firsts.filter((first) => first <= row).length - 1;
  if (number < 0) return ready(null);
  const key = `questions-${system}-${number}`;
  const found = (page) => ready(page && { ...page, outcomes: page.embedders[row - firsts[number]] });
  if (evidence.pages[key]) return found(evidence.pages[key]);
  if (waiting[key]) return waiting[key].push(found);
  waiting[key] = [found];
  const file = element("script");
  file.src = `figures/${key}.js`;
  file.addEventListener("error", () => {
    const all = waiting[key] ?? [];
    delete waiting[key];
    file.remove();
    for (const ready of all) ready(null);
  });
  document.head.append(file);
}

// Questions that are shown at once.
const AT_ONCE = 100;

// What was retrieved and answered with one embedder.
function show(system, row) {
  const table = document.querySelector(`table[data-system="${system}"] tr[data-row="${row}"]`);
  document.getElementById("of").textContent = table.dataset.name;
  document.getElementById("about").textContent = table.dataset.about;
  document.getElementById("asked").replaceChildren();
  for (const pick of document.querySelectorAll(".pick")) {
    pick.classList.toggle("selected", pick.dataset.system === String(system) && pick.dataset.row === String(row));
  }
  const shown = (dialog.dataset.shown = `${system} ${row}`);
  dialog.showModal();
  dialog.scrollTop = 0;
  find(Number(system), Number(row), (page) => {
    // Another point may have been selected while a file was loaded.
    if (dialog.dataset.shown === shown) list(page, 0);
  });
}

// The questions from one on, and a button for those that follow.
function list(page, from) {
  const place = document.getElementById("asked");
  if (!page || !page.outcomes.length) {
    place.append(element("p", "asked", "The outcomes of these questions are in outcomes.parquet."));
    return;
  }
  const count = page.outcomes.length / 4;
  for (let q = from; q < Math.min(from + AT_ONCE, count); q++) place.append(question(page, q));
  const left = count - from - AT_ONCE;
  if (left <= 0) return;
  const more = element("button", "more", `Show ${Math.min(left, AT_ONCE)} of ${left} more`);
  more.addEventListener("click", () => {
    more.remove();
    list(page, from + AT_ONCE);
  });
  place.append(more);
}

function question(page, q) {
  const [text, topic, alone, aloneLean] = page.questions[q];
  const [document_, lean, answer, answerLean] = page.outcomes.slice(q * 4, q * 4 + 4);
  const article = element("article", "asked");
  const title = element("h4", "", page.strings[text] + " ");
  title.append(element("small", "", page.strings[topic]));
  const facts = element("dl");
  const fact = (name, code, index) => {
    const value = element("dd");
    value.append(chip(page, code), " · " + (page.strings[index] || "no text"));
    facts.append(element("dt", "", name), value);
  };
  fact("retrieved", lean, document_);
  if (page.llm) {
    fact("answer", answerLean, answer);
    fact("answer without it", aloneLean, alone);
  }
  article.append(title, facts);
  return article;
}

document.addEventListener("click", (event) => {
  const pick = event.target.closest(".pick");
  if (pick) return show(pick.dataset.system, pick.dataset.row);
  const row = event.target.closest("td button");
  if (row) return show(row.closest("table").dataset.system, row.closest("tr").dataset.row);
  if (event.target === dialog || event.target.closest("#close")) return dialog.close();
  const head = event.target.closest("th button");
  if (head) sort(head.closest("th"));
});

function sort(head) {
  const body = head.closest("table").tBodies[0];
  const column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => value(a).localeCompare(value(b), "en", { numeric: false });
  const numeric = (a, b) => Number(value(a)) - Number(value(b));
  const by = head.classList.contains("figure") ? numeric : compare;
  const rows = [...body.rows].sort((a, b) => (up ? by(a, b) : by(b, a)));
  body.append(...rows);
}
