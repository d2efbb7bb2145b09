"use strict";
const evidence = JSON.parse(document.getElementById("evidence").textContent);
const dialog = document.getElementById("questions");

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function chip(asked, code) {
  const names = ["unscored", asked.negative, "neither or both", asked.positive, "neither", "both", "refused", "cut"];
  const classes = ["unscored", "negative", "neutral", "positive", "neutral", "neutral", "unscored", "unscored"];
  return element("span", "chip " + classes[code], names[code]);
}

// What was retrieved and answered with one embedder, question by question.
function show(system, row) {
  const table = document.querySelector(`table[data-system="${system}"] tr[data-row="${row}"]`);
  document.getElementById("of").textContent = table.dataset.name;
  document.getElementById("about").textContent = table.dataset.about;
  const list = document.getElementById("asked");
  list.replaceChildren();
  const asked = evidence.systems[system];
  const outcomes = asked ? asked.embedders[row] : [];
  if (!outcomes.length) list.append(element("p", "asked", "The outcomes of these questions are in outcomes.parquet."));
  for (let q = 0; q * 4 < outcomes.length; q++) {
    const [text, topic, alone, aloneLean] = asked.questions[q];
    const [document_, lean, answer, answerLean] = outcomes.slice(q * 4, q * 4 + 4);
    const article = element("article", "asked");
    const title = element("h4", "", evidence.strings[text] + " ");
    title.append(element("small", "", evidence.strings[topic]));
    const facts = element("dl");
    const fact = (name, code, index) => {
      const value = element("dd");
      value.append(chip(asked, code), " · " + (evidence.strings[index] || "no text"));
      facts.append(element("dt", "", name), value);
    };
    fact("retrieved", lean, document_);
    if (asked.llm) {
      fact("answer", answerLean, answer);
      fact("answer without it", aloneLean, alone);
    }
    article.append(title, facts);
    list.append(article);
  }
  for (const pick of document.querySelectorAll(".pick")) {
    pick.classList.toggle("selected", pick.dataset.system === String(system) && pick.dataset.row === String(row));
  }
  dialog.showModal();
  dialog.scrollTop = 0;
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
