"use strict";
// The walk player: one step at a time along a walk of the library, with alpha after each.
const player = (() => {
  const SECONDS = 1.3;
  const by = (id) => document.getElementById(id);
  const cy = makeCanvas(by("path"), { userPanningEnabled: false, userZoomingEnabled: false, autoungrabify: true });
  const group = by("player"), choice = by("walk"), play = by("play"), body = by("steps").tBodies[0];
  let start = null, steps = [], at = 0, timer = null, show = () => {};

  graph.walkNames.forEach((name, w) => choice.add(new Option(name, w)));

  const fit = () => {
    cy.resize();
    cy.fit(undefined, 30);
    if (cy.zoom() > 1.1) { cy.zoom(1.1); cy.center(); }
  };

  const drawPath = () => {
    cy.elements().remove();
    const wide = by("path").clientWidth > 620;
    const seen = [start, ...steps.map((step) => step.node)].filter((node, n, all) => all.indexOf(node) === n);
    seen.forEach((node, n) => {
      const [along, across] = [n * (wide ? 210 : 105), (n % 2) * (wide ? 70 : 150)];
      cy.add({ group: "nodes", data: nodeData(node), position: wide ? { x: along, y: across } : { x: across, y: along } });
    });
    for (const { edge } of steps) {
      if (cy.getElementById(`e${edge.number}`).empty()) {
        cy.add({ group: "edges", data: edgeData(edge, `${edge.relation} ${graph.number(edge.weight)}`) });
      }
    }
    fit();
  };

  const row = (step, n) => {
    const line = document.createElement("tr"), cells = [n, step.said, "", graph.number(step.edge.weight), graph.number(step.alpha)];
    for (const [c, text] of cells.entries()) {
      const cell = line.insertCell();
      if ([0, 3, 4].includes(c)) cell.className = "number";
      cell.textContent = text;
    }
    const to = document.createElement("button"), bar = document.createElement("div"), filled = document.createElement("i");
    to.type = "button";
    to.textContent = step.node.label;
    to.setAttribute("aria-label", `Show ${graph.spoken(step.node.type)} ${step.node.label} above`);
    to.addEventListener("click", () => show(step.node));
    bar.className = "alpha";
    filled.style.width = `${100 * step.alpha}%`;
    bar.append(filled);
    line.cells[2].append(to);
    line.cells[4].append(bar);
    line.classList.toggle("now", n === at);
    return line;
  };

  const say = () => {
    const said = by("walk-said");
    if (!steps.length) said.textContent = "No step: the molecule has no edge that a walk could take. Its alpha stays 1.";
    else if (!at) said.textContent = `At the start of ${steps.length} steps: alpha is 1.`;
    else {
      const { spoken: how, node, edge, alpha } = steps[at - 1];
      said.textContent = `Step ${at} of ${steps.length}: ${how} ${graph.spoken(node.type)} ${node.label}, weight ${graph.number(edge.weight)}; alpha is ${graph.number(alpha)}.`;
    }
  };

  const goTo = (step) => {
    at = Math.max(0, Math.min(step, steps.length));
    cy.elements().removeClass("near past chosen").addClass("ahead");
    cy.getElementById(`n${start.number}`).removeClass("ahead");
    steps.slice(0, at).forEach(({ edge, node }, n) => {
      cy.getElementById(`n${node.number}`).removeClass("ahead");
      cy.getElementById(`e${edge.number}`).removeClass("ahead past near").addClass(n === at - 1 ? "near" : "past");
    });
    cy.getElementById(`n${(at ? steps[at - 1].node : start).number}`).addClass("chosen");
    body.replaceChildren(...steps.slice(0, at).map((taken, n) => row(taken, n + 1)));
    by("step").disabled = at >= steps.length;
    by("back").disabled = by("restart").disabled = at === 0;
    play.disabled = !steps.length;
    say();
  };

  const pause = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };

  const run = () => {
    if (at >= steps.length) goTo(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      goTo(at + 1);
      if (at >= steps.length) pause();
    }, 1000 * SECONDS);
  };

  const load = () => {
    pause();
    const [edges, alphas] = graph.walks.get(start.number)[choice.value];
    let here = start.number;
    steps = edges.map((number, n) => {
      const edge = graph.edges[number], along = edge.source === here;
      here = along ? edge.target : edge.source;
      return { edge, alpha: alphas[n], node: graph.nodes[here], said: along ? `${edge.relation} →` : `← ${edge.relation}`,
        spoken: `${along ? "" : "back "}along ${edge.relation} to` };
    });
    drawPath();
    goTo(0);
  };

  const from = (node) => {
    start = node;
    by("walk-of").textContent = `From ${node.label} (${node.attributes.key}).`;
    load();
  };

  const moved = (step) => { pause(); goTo(step); };
  by("restart").addEventListener("click", () => moved(0));
  by("back").addEventListener("click", () => moved(at - 1));
  by("step").addEventListener("click", () => moved(at + 1));
  play.addEventListener("click", () => (timer ? pause() : run()));
  choice.addEventListener("change", load);
  group.addEventListener("keydown", (event) => {
    if (!start || event.target === choice || !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    moved(at + (event.key === "ArrowRight" ? 1 : -1));
  });
  window.addEventListener("resize", () => { if (start) { drawPath(); goTo(at); } });
  if (!graph.walks.size) group.hidden = true;
  return { cy, from, onShow: (handler) => { show = handler; } };
})();
