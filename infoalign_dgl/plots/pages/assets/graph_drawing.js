"use strict";
// How nodes and edges are drawn, and the neighbourhood that grows as nodes are expanded.
const quiet = window.matchMedia("(prefers-reduced-motion: reduce)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const structureImage = ([lines, wedges, size, letters]) => {
  const ink = colour("ink"), escaped = (text) => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  let texts = "";
  for (let l = 0; l < letters.length; l += 4) {
    const height = letters[l + 3] ? Math.round(size * 0.66) : size;
    texts += `<text x="${letters[l]}" y="${letters[l + 1]}" font-size="${height}">${escaped(letters[l + 2])}</text>`;
  }
  return "data:image/svg+xml," + encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300" viewBox="0 0 400 300" fill="${ink}" font-family="sans-serif">` +
    `<path d="${lines}" fill="none" stroke="${ink}" stroke-width="3" stroke-linecap="round"/><path d="${wedges}"/>${texts}</svg>`);
};

const drawnStyle = () => {
  const typed = graph.types.map(({ name }) => ({ selector: `node[type = "${name}"]`, style: { "background-color": colour(name) } }));
  const common = { "font-family": "system-ui, DejaVu Sans, sans-serif", "text-wrap": "wrap" };
  return [
    { selector: "node", style: { ...common, label: "data(label)", color: colour("ink"), "font-size": 12, width: 30, height: 30,
      "text-valign": "bottom", "text-margin-y": 4, "text-max-width": 120, "text-background-color": colour("raised"), "text-background-opacity": 0.8 } },
    ...typed,
    { selector: 'node[type = "molecule"]', style: { shape: "round-rectangle", width: 112, height: 84, "background-color": colour("ground"),
      "border-width": 2, "border-color": colour("molecule") } },
    { selector: "node[image]", style: { "background-image": "data(image)", "background-fit": "contain" } },
    { selector: "edge", style: { ...common, width: "mapData(weight, 0, 1, 1, 7)", "line-color": colour("line"), "target-arrow-color": colour("line"),
      "curve-style": "bezier", "arrow-scale": 0.9, label: "data(label)", color: colour("soft"), "font-size": 11, "text-background-padding": 1, "text-background-color": colour("raised"),
      "text-background-opacity": 0.9, "min-zoomed-font-size": 6 } },
    { selector: "edge[?directed]", style: { "target-arrow-shape": "triangle" } },
    { selector: ".near", style: { "line-color": colour("accent"), "target-arrow-color": colour("accent") } },
    { selector: ".chosen", style: { "outline-width": 4, "outline-color": colour("accent"), "outline-offset": 2 } },
    { selector: ".ahead", style: { opacity: 0.3 } },
    { selector: ".past", style: { "line-color": colour("soft"), "target-arrow-color": colour("soft") } },
  ];
};

const nodeData = (node) => {
  const data = { id: `n${node.number}`, number: node.number, type: node.type, label: node.label.length > 18 ? `${node.label.slice(0, 17)}…` : node.label };
  if (node.structure) data.image = structureImage(node.structure);
  return data;
};

const edgeData = (edge, label) => ({ id: `e${edge.number}`, source: `n${edge.source}`, target: `n${edge.target}`, weight: edge.weight, label,
  directed: !["similar", "interacts", "covaries"].includes(edge.relation) });

// A canvas in the page's colours, also when these change; the wheel scrolls the page unless Ctrl is held.
const makeCanvas = (container, options) => {
  container.parentElement.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && container.contains(event.target)) event.stopPropagation();
  }, { capture: true });
  const cy = cytoscape({ container, style: drawnStyle(), minZoom: 0.1, maxZoom: 3, boxSelectionEnabled: false, autounselectify: true, ...options });
  document.documentElement.addEventListener("themechange", () => {
    cy.nodes("[image]").forEach((drawn) => { drawn.data("image", structureImage(graph.nodes[drawn.data("number")].structure)); });
    cy.style(drawnStyle());
  });
  return cy;
};

const neighbourhood = (() => {
  const AT_ONCE = 12; // more neighbours in one step are a hairball
  const PADDING = 24;
  const cy = makeCanvas(document.getElementById("drawing"), {});
  const isDrawn = (number) => cy.getElementById(`n${number}`).nonempty();
  const waiting = (node) => graph.distinct(node).filter((other) => !isDrawn(other));

  const add = (number, position) => {
    const node = graph.nodes[number];
    cy.add({ group: "nodes", data: nodeData(node), position });
    for (const { edge, other } of node.arcs) {
      if (isDrawn(other) && cy.getElementById(`e${edge.number}`).empty()) {
        cy.add({ group: "edges", data: edgeData(edge, graph.number(edge.weight)) });
      }
    }
  };

  const fit = () => {
    cy.fit(undefined, PADDING);
    if (cy.zoom() > 1.2) { cy.zoom(1.2); cy.center(); }
  };

  // One node amid its neighbours, on an ellipse as wide or high as the canvas.
  const ring = (centre) => {
    const around = cy.nodes().not(centre), shape = Math.sqrt(Math.min(1.5, Math.max(0.7, cy.width() / cy.height())));
    const radius = Math.max(190, 24 * around.length);
    centre.position({ x: 0, y: 0 });
    around.forEach((drawn, n) => {
      const angle = (2 * Math.PI * n) / around.length - Math.PI / 2;
      drawn.position({ x: radius * shape * Math.cos(angle), y: (radius / shape) * Math.sin(angle) });
    });
    fit();
  };

  const arrange = (centre) => {
    const first = cy.nodes().every((drawn) => drawn.same(centre) || drawn.edgesWith(centre).nonempty());
    if (first) { ring(centre); return; }
    const springs = { name: "cose", padding: PADDING, nodeDimensionsIncludeLabels: true, randomize: false, nodeRepulsion: () => 60000, idealEdgeLength: () => 70, nodeOverlap: 40, gravity: 0.6, numIter: 600,
      animate: quiet.matches ? false : "end", animationDuration: 350 };
    cy.layout(springs).run();
  };

  // Draws the neighbours of largest weight that are not there yet, and says how many.
  const expand = (number) => {
    const next = waiting(graph.nodes[number]).slice(0, AT_ONCE), centre = cy.getElementById(`n${number}`), { x, y } = centre.position();
    next.forEach((other, n) => {
      const angle = (2 * Math.PI * n) / next.length;
      add(other, { x: x + 130 * Math.cos(angle), y: y + 130 * Math.sin(angle) });
    });
    if (next.length) arrange(centre);
    return next.length;
  };

  // Draws one neighbour of a node that is drawn.
  const attach = (number, beside) => {
    const { x, y } = cy.getElementById(`n${beside}`).position();
    add(number, { x: x + 130, y: y + 60 });
    arrange(cy.getElementById(`n${beside}`));
  };

  const begin = (number) => {
    cy.elements().remove();
    add(number, { x: 0, y: 0 });
    if (!expand(number)) fit();
  };

  const choose = (number) => {
    cy.elements().removeClass("chosen near");
    const chosen = cy.getElementById(`n${number}`);
    chosen.addClass("chosen").connectedEdges().addClass("near");
  };

  const zoom = (factor) => cy.zoom({ level: cy.zoom() * factor, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
  document.getElementById("zoom-in").addEventListener("click", () => zoom(1.3));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.3));
  document.getElementById("fit").addEventListener("click", fit);
  return { cy, AT_ONCE, begin, expand, attach, choose, isDrawn, waiting };
})();
