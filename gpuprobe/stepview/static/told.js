// The words on an event: beside the pointer, and for the event that was picked, below the heading of the lanes.
class Told {
  constructor(view) {
    this.view = view;
    this.tip = document.getElementById("tip");
    this.panel = document.getElementById("picked");
  }

  ms(ticks) { return ticks * this.view.data.tick_ms; }

  lines(at) {
    const { data, zero } = this.view;
    if (at.row) {
      const [work] = data.after.works[at.row.work[at.place]];
      return [work, `${time(this.ms(at.row.length[at.place]))}, ${at.row.title}`, "predicted by the replay"];
    }
    const { lane, place } = at, start = lane.start[place];
    const lines = [data.names[lane.name[place]]];
    if (lane.count && lane.count[place] > 1) {
      const short = time(this.ms(lane.busy[place]));
      lines[0] = `${many(lane.count[place], "short event")}, joined: ${short} of ${time(this.ms(lane.length[place]))}`;
      lines.push(`the longest: ${data.names[lane.name[place]]}`);
    } else {
      lines.push(`${time(this.ms(lane.length[place]))}, at ${time(this.ms(start - zero))}`);
    }
    if (lane.op && lane.op[place] !== NONE) lines.push(`operation ${data.names[lane.op[place]]}`);
    if (lane.launch && lane.launch[place] !== NONE) {
      lines.push(`launched ${time(this.ms(start - lane.launch[place]))} before it began`);
    } else if (lane.kind === "stream") {
      lines.push("the trace does not show its launch");
    }
    lines.push(label(lane, lane.rows));
    return lines;
  }

  hover(at, x, y) {
    const { tip } = this;
    tip.hidden = !at;
    if (!at) return;
    tip.replaceChildren(...at.map((text, i) => {
      const line = document.createElement("div");
      line.textContent = i ? text : fitted(text, 1400, 7);
      return line;
    }));
    const room = 14, box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + room, innerWidth - box.width - 8))}px`;
    tip.style.top = `${y + room + box.height > innerHeight ? Math.max(4, y - box.height - room) : y + room}px`;
  }

  pick(lane, place) {
    const { view } = this;
    view.picked = { lane, place };
    this.open(lane, lane.depth[place]);
    const launch = lane.launch && lane.launch[place] !== NONE ? lane.launch[place] : null;
    view.marks = launch === null ? [] : [launch];
    this.say(...this.lines({ lane, place }));
    if (launch !== null) this.panel.append(this.button("Show from its launch", () => {
      const by = lane.by[lane.thread[place]];
      if (by >= 0) this.open(view.data.lanes[by], 0);
      view.frame(launch, lane.start[place] + lane.length[place]);
    }));
    view.draw();
  }

  // Unfolds the group and the lane that hide an event.
  open(lane, depth) {
    this.view.groups.forEach((of, number) => {
      const item = of.lanes.find((each) => each.lane === lane);
      if (!item) return;
      if (depth < folded(lane) || depth >= folded(lane) + FOLDED) item.whole = true;
      const canvas = document.getElementById(`group-${number}`);
      if (!of.open) canvas.previousElementSibling.firstElementChild.click();
    });
  }

  say(...lines) {
    this.panel.replaceChildren(...lines.filter(Boolean).map((text, i) => {
      const line = document.createElement(i ? "span" : "strong");
      line.textContent = text;
      return line;
    }));
  }

  button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }
}
