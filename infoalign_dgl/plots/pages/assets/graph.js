"use strict";
// Search, the panel of the chosen node, and what the keys do.
const explorer = (() => {
  const LISTED = 12, RESULTS = 20;
  const by = (id) => document.getElementById(id);
  const panel = by("node"), canvas = by("drawing");
  let chosen = null;

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const button = (text, act) => {
    const made = element("button", text, { type: "button" });
    made.addEventListener("click", act);
    return made;
  };
  const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  const sayDrawn = () => {
    const all = graph.distinct(chosen), drawn = all.filter(neighbourhood.isDrawn).length;
    const { cy } = neighbourhood;
    by("drawn").textContent = `${counted(cy.nodes().length, "node")} and ${counted(cy.edges().length, "edge")} are drawn. ` +
      `Of ${chosen.label}: ${drawn} of ${counted(chosen.neighbours, "neighbour")}` +
      (all.length < chosen.neighbours ? `, of which this page has ${all.length.toLocaleString("en")}.` : ".");
  };

  const attributes = (node) => {
    const list = element("dl"), hidden = new Set(["symbol"]);
    const rows = Object.entries(node.attributes).filter(([name, value]) => value !== "" && !hidden.has(name));
    rows.push(["features", node.spaces.join(", ") || "none"]);
    for (const [name, value] of rows) list.append(element("dt", name), element("dd", String(value).replaceAll(";", "; ")));
    for (const [type, count] of node.degrees) {
      const here = node.arcs.filter((arc) => arc.edge.type === type).length;
      list.append(element("dt", type[1]), element("dd", `${counted(count, "edge")} (${type.map(graph.spoken).join(" ")})${here < count ? `, ${here} here` : ""}`));
    }
    return list;
  };

  const neighbours = (node) => {
    const list = element("ul", undefined, { class: "neighbours", "aria-label": "Neighbours" });
    const row = ({ edge, other }) => {
      const to = graph.nodes[other], item = element("li");
      const made = button(undefined, () => { choose(to, { focus: true }); });
      const way = edge.source === node.number ? `${edge.relation} →` : `← ${edge.relation}`;
      const name = to.type === "molecule" ? to.attributes.smiles : to.attributes.key;
      made.append(element("span", `${way} ${to.label}`), element("span", graph.number(edge.weight), { class: "number" }),
        element("small", `${graph.spoken(to.type)}${name === to.label ? "" : ` · ${name}`}`, { class: "cut" }));
      item.append(made);
      return item;
    };
    list.append(...node.arcs.slice(0, LISTED).map(row));
    if (node.arcs.length > LISTED) {
      const more = element("li"), rest = button(`${node.arcs.length - LISTED} more`, () => {
        more.remove();
        list.append(...node.arcs.slice(LISTED).map(row));
        list.children[LISTED].firstChild.focus();
      });
      more.append(rest);
      list.append(more);
    }
    return list;
  };

  const showPanel = (node) => {
    const title = element("h3", node.label, { tabindex: "-1" });
    const parts = [title, element("span", graph.spoken(node.type), { class: `kind ${node.type}` })];
    if (node.structure) parts.push(element("img", undefined, { alt: `Structure of ${node.label}`, src: structureImage(node.structure) }));
    const actions = element("div", undefined, { class: "bar" });
    const left = neighbourhood.waiting(node).length;
    if (left) actions.append(button(`Draw its neighbours (${Math.min(left, neighbourhood.AT_ONCE)} of ${left} more)`, () => expand(node, { focus: true })));
    actions.append(button("Begin again here", () => { neighbourhood.begin(node.number); choose(node, { focus: true }); }));
    if (graph.walks.has(node.number)) {
      actions.append(button("Walks from here", () => { by("walks").scrollIntoView(); by("play").focus({ preventScroll: true }); }));
    }
    parts.push(actions);
    if (node.type === "molecule" && !graph.walks.has(node.number)) parts.push(element("p", "This page keeps no walks of this molecule.", { class: "note" }));
    parts.push(attributes(node));
    parts.push(element("h3", "Neighbours"), element("p", node.arcs.length ? "Those of largest weight first; a button chooses one." : "None here.", { class: "note" }));
    parts.push(neighbours(node));
    panel.replaceChildren(...parts);
    return title;
  };

  const choose = (node, { focus = false } = {}) => {
    if (!neighbourhood.isDrawn(node.number)) {
      if (chosen && graph.distinct(chosen).includes(node.number)) neighbourhood.attach(node.number, chosen.number);
      else neighbourhood.begin(node.number);
    }
    chosen = node;
    neighbourhood.choose(node.number);
    const title = showPanel(node);
    sayDrawn();
    if (graph.walks.has(node.number)) player.from(node);
    if (focus) title.focus({ preventScroll: true });
  };

  const expand = (node, options = {}) => {
    neighbourhood.expand(node.number);
    choose(node, options);
  };

  const results = (nodes) => by("results").replaceChildren(...nodes.map((node) => {
    const item = element("li");
    const name = node.type === "molecule" ? node.attributes.smiles : node.attributes.key;
    const said = `${graph.spoken(node.type)} ${node.label}${name === node.label ? "" : ` · ${name}`}`;
    const made = button(undefined, () => { neighbourhood.begin(node.number); choose(node); });
    made.append(element("span", said, { class: "cut" }));
    item.append(made);
    return item;
  }));

  // Molecules with most kinds of edges show most of what a graph is, and those whose first walk loses most, what alpha is.
  const left = (node) => graph.walks.get(node.number)[0][1].at(-1) ?? 1;
  const examples = [...graph.walks.keys()].map((number) => graph.nodes[number])
    .sort((a, b) => b.degrees.length - a.degrees.length || left(a) - left(b) || a.number - b.number).slice(0, 5);

  const search = () => {
    const text = by("query").value;
    if (!text.trim()) {
      by("found").textContent = examples.length ? "For instance:" : "";
      results(examples);
      return;
    }
    const found = graph.search(text);
    results(found.slice(0, RESULTS));
    if (!found.length) by("found").textContent = "Nothing here has that name. `infoalign-dgl inspect GRAPH --node TYPE:ID` shows any node of the graph.";
    else by("found").textContent = found.length > RESULTS ? `The first ${RESULTS} of ${counted(found.length, "node")}:` : `${counted(found.length, "node")}:`;
  };

  by("query").addEventListener("input", search);
  by("search").addEventListener("submit", (event) => {
    event.preventDefault();
    by("results").querySelector("button")?.click();
  });
  neighbourhood.cy.on("tap", "node", (event) => expand(graph.nodes[event.target.data("number")]));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!chosen || (!step && event.key !== "Enter")) return;
    event.preventDefault();
    if (!step) { expand(chosen); return; }
    const drawn = neighbourhood.cy.nodes().map((node) => node.data("number"));
    choose(graph.nodes[drawn[(drawn.indexOf(chosen.number) + step + drawn.length) % drawn.length]]);
  });
  document.documentElement.addEventListener("themechange", () => {
    const image = panel.querySelector("img");
    if (image) image.src = structureImage(chosen.structure);
  });
  player.onShow((node) => { choose(node, { focus: true }); by("explore").scrollIntoView(); });

  search();
  const first = examples[0] || graph.nodes[0];
  if (first) { neighbourhood.begin(first.number); choose(first); }
  return { choose, chosen: () => chosen };
})();
