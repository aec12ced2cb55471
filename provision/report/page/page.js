"use strict";
// Search and filter. Without this script the page shows the same, only unsearched.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const typed = document.getElementById("words");
  const boxes = all("#states input");
  const models = all(".model").map((model) => ({
    model,
    words: model.dataset.words,
    details: model.querySelector("details"),
    rows: all("tbody tr", model).map((row) => ({
      row, state: row.dataset.state, words: row.textContent.toLowerCase(),
    })),
  }));
  const about = new Map(models.map(({ model, words }) => [model.dataset.title, words]));
  const troubles = all(".trouble").map((trouble) => ({
    trouble,
    state: trouble.dataset.state,
    words: about.get(trouble.dataset.title) || trouble.dataset.title.toLowerCase(),
    items: all("li", trouble).map((item) => ({ item, words: item.textContent.toLowerCase() })),
  }));
  const tiles = all(".tile");
  const findings = document.getElementById("findings");
  const known = new Set(boxes.map((box) => box.value));
  const total = models.reduce((sum, { rows }) => sum + rows.length, 0);

  const filtered = () => {
    const wanted = typed.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const rows = new Set();
    const groups = new Set();
    for (const { model, words, details, rows: own } of models) {
      let count = 0;
      for (const { row, state, words: text } of own) {
        const fits = states.has(state) && wanted.every((word) => text.includes(word) || words.includes(word));
        row.classList.toggle("off-row", !fits);
        if (fits) {
          count += 1;
          rows.add(row.id);
          groups.add(`${model.id} ${state}`);
        }
      }
      model.hidden = count === 0;
      if (wanted.length && count && count < 50) details.open = true;
    }
    let wrong = 0;
    for (const { trouble, state, words: own, items } of troubles) {
      let any = false;
      for (const { item, words: text } of items) {
        const fits = (states.has(state) || !known.has(state)) &&
          wanted.every((word) => text.includes(word) || own.includes(word));
        item.hidden = !fits;
        any ||= fits;
      }
      trouble.hidden = !any;
      wrong += any;
    }
    if (findings) findings.hidden = wrong === 0;
    for (const tile of tiles) {
      const { row, key, state } = tile.dataset;
      tile.classList.toggle("off", !(row ? rows.has(row) : groups.has(`${key} ${state}`)));
    }
    document.getElementById("nothing").hidden = rows.size > 0;
    document.getElementById("shown").textContent =
      `${rows.size.toLocaleString("en")} of ${total.toLocaleString("en")} files`;
  };

  // A link to a file opens the table that it stands in; some browsers do so themselves.
  const revealed = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.closest("details");
    if (details) {
      details.open = true;
      target.scrollIntoView({ block: "center" });
    }
  };

  // Arrow keys go from box to box of the map.
  document.getElementById("map").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const stops = all("svg a").filter((stop) => stop.getClientRects().length);
    const at = stops.indexOf(event.target.closest("a"));
    if (step && at >= 0) {
      event.preventDefault();
      stops[(at + step + stops.length) % stops.length].focus();
    }
  });

  let timer = 0;
  typed.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(filtered, 80);
  });
  boxes.forEach((box) => box.addEventListener("change", filtered));
  document.getElementById("filter").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", revealed);
  document.documentElement.classList.add("js");
  document.getElementById("filter").hidden = false;
  filtered();
  revealed();
})();
