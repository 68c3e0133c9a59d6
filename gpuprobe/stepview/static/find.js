// Search, the way from a colour to its gaps, and the list of gaps.
function isFound(found, lane, place) {
  return found.names[lane.name[place]] === 1 || (lane.op !== null && lane.op[place] !== NONE && found.names[lane.op[place]] === 1);
}

function search(data, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return null;
  const names = new Uint8Array(data.names.length);
  data.names.forEach((name, i) => { if (name.toLowerCase().includes(wanted)) names[i] = 1; });
  const found = { names, hits: [], total: 0, at: -1 };
  data.lanes.forEach((lane) => {
    for (let i = 0; i < lane.start.length; i++) {
      if (isFound(found, lane, i)) { found.hits.push([lane, i]); found.total += lane.length[i]; }
    }
  });
  found.hits.sort((a, b) => a[0].start[a[1]] - b[0].start[b[1]]);
  return found;
}

class Finder {
  constructor(view, told) {
    Object.assign(this, { view, told, places: [], at: -1 });
    this.box = document.getElementById("search");
    this.rows = [...document.querySelectorAll("#gaps tbody tr")];
    this.box.addEventListener("input", () => this.look());
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { this.hit(event.shiftKey ? -1 : 1); event.preventDefault(); }
      if (event.key === "Escape") { this.clear(); this.box.blur(); }
    });
    this.more = document.getElementById("more");
    if (this.more) this.more.addEventListener("click", () => this.unfold());
    for (const row of this.rows) row.addEventListener("click", () => this.toRow(row));
    for (const chip of document.querySelectorAll("#legend button")) {
      chip.addEventListener("click", () => this.choose(view.category === chip.dataset.category ? null : chip.dataset.category));
    }
  }

  look() {
    const { view } = this;
    view.found = search(view.data, this.box.value);
    const hits = view.found ? view.found.hits.length : 0;
    const total = view.found ? `, ${time(view.found.total * view.data.tick_ms)} in all` : "";
    document.getElementById("hits").textContent = view.found ? `${many(hits, "event")}${hits ? total : ""}` : "";
    view.draw();
  }

  hit(by) {
    const { found } = this.view;
    if (!found || !found.hits.length) return;
    found.at = (found.at + by + found.hits.length) % found.hits.length;
    const [lane, place] = found.hits[found.at];
    this.told.pick(lane, place);
    this.view.frame(lane.start[place], lane.start[place] + Math.max(lane.length[place], 1));
    document.getElementById("hits").textContent = `${found.at + 1} of ${many(found.hits.length, "event")}`;
  }

  // Chooses a category: only its gaps are listed, its colour stands out, and its longest stretch is shown.
  choose(category, place = null) {
    const { view } = this, { strip } = view;
    view.category = category;
    for (const chip of document.querySelectorAll("#legend button")) {
      chip.setAttribute("aria-pressed", String(chip.dataset.category === category));
    }
    if (category) this.unfold();
    let listed = 0;
    for (const row of this.rows) {
      row.hidden = category !== null && !row.dataset.causes.split(" ").includes(category);
      listed += !row.hidden;
    }
    const told = document.getElementById("listed"), look = category && view.data.look[category];
    this.places = category ? stretches(strip, strip.categories.indexOf(category)) : [];
    this.at = place === null ? (this.places.length ? 0 : -1) : this.places.indexOf(place);
    if (told) told.textContent = category ? `Only those with \u201c${look.legend}\u201d: ${listed} listed` : "";
    document.getElementById("all").hidden = category === null;
    if (this.at >= 0) this.toStretch(); else view.draw();
  }

  // Lists all gaps that the page holds.
  unfold() {
    document.getElementById("gaps")?.classList.remove("short");
    if (this.more) this.more.hidden = true;
  }

  next(by) {
    if (!this.places.length) return this.hit(by);
    this.at = (this.at + by + this.places.length) % this.places.length;
    this.toStretch();
  }

  toStretch() {
    const { view } = this, [from, to] = segment(view.strip, this.places[this.at]);
    view.frame(from, to);
    const legend = view.data.look[view.category].legend, lasts = time((to - from) * view.data.tick_ms);
    this.told.say(`${legend}: stretch ${this.at + 1} of ${this.places.length.toLocaleString("en-US")}, ${lasts}. The keys n and p go to the next and the previous one.`);
    this.mark(this.rows.find((row) => Number(row.dataset.from) <= from && to <= Number(row.dataset.to)));
  }

  toRow(row) {
    this.view.frame(Number(row.dataset.from), Number(row.dataset.to));
    this.mark(row);
    this.told.say(row.dataset.said);
    document.getElementById("axis").scrollIntoView({ block: "nearest" });
  }

  mark(row) {
    if (row?.classList.contains("more")) this.unfold();
    for (const other of this.rows) other.classList.toggle("now", other === row);
  }

  clear() {
    const { view } = this;
    this.box.value = "";
    view.marks = [];
    view.picked = null;
    this.look();
    this.mark(null);
    this.choose(null);
    this.told.say("");
  }
}
