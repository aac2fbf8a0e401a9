"use strict";
// The part of the graph that the page holds: nodes with their edges, and what they are found by.
const graph = (() => {
  const data = JSON.parse(document.getElementById("graph-data").textContent);
  const nodes = [];
  data.types.forEach((type, t) => {
    for (const [cells, spaces, degrees, neighbours, structure] of data.nodes[t]) {
      const attributes = Object.fromEntries(type.columns.map((column, c) => [column, cells[c]]));
      const ids = String(attributes.ids || "").split(";").filter(Boolean);
      const names = [attributes.key, attributes.symbol, attributes.inchikey, attributes.molecule, ...ids];
      nodes.push({
        number: nodes.length, type: type.name, attributes, ids, neighbours, structure,
        label: String(attributes.symbol || ids[0] || (attributes.molecule !== undefined && attributes.space) || attributes.key),
        names: names.filter(Boolean).map((name) => String(name).toLowerCase()),
        spaces: spaces.map((s) => data.spaces[s]),
        degrees: degrees.flatMap((kind, d) => (d % 2 ? [] : [[data.edges[kind].type, degrees[d + 1]]])),
        arcs: [],
      });
    }
  });

  const edges = [];
  for (const { type, steps, target, weight } of data.edges) {
    let from = 0;
    steps.forEach((step, e) => {
      from += step;
      const edge = { number: edges.length, type, relation: type[1], source: from, target: target[e], weight: weight[e] };
      edges.push(edge);
      nodes[from].arcs.push({ edge, other: edge.target });
      if (edge.target !== from) nodes[edge.target].arcs.push({ edge, other: from });
    });
  }
  for (const node of nodes) {
    node.arcs.sort((a, b) => b.edge.weight - a.edge.weight || a.other - b.other || a.edge.number - b.edge.number);
  }

  // Names that are the text, then those that begin with it, then those that have it in them; a SMILES only as it is.
  const search = (text) => {
    const wanted = text.trim(), lower = wanted.toLowerCase();
    if (!wanted) return [];
    const rank = (node) => {
      if (node.attributes.smiles === wanted || node.names.includes(lower)) return 0;
      if (node.names.some((name) => name.startsWith(lower))) return 1;
      return node.names.some((name) => name.includes(lower)) ? 2 : 3;
    };
    const ranked = nodes.map((node) => [rank(node), node]).filter(([place]) => place < 3);
    return ranked.sort((a, b) => a[0] - b[0] || a[1].number - b[1].number).map(([, node]) => node);
  };

  const walks = new Map(data.walks.starts.map((start, s) => [start, data.walks.of[s]]));
  const walkNames = data.walks.transitions.flatMap((transition) =>
    Array.from({ length: data.walks.streams }, (_, w) => `${transition === "weight" ? "weighted" : transition} ${w + 1}`));
  const distinct = (node) => [...new Set(node.arcs.map((arc) => arc.other))];
  const number = (value) => String(Number(value.toPrecision(4)));
  const spoken = (type) => type.replace("_", " ");
  return { nodes, edges, search, walks, walkNames, distinct, number, spoken, types: data.types };
})();
