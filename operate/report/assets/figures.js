// Draws every figure from the specification beside it, in the colours of the page, again when those change.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  const ink = of("--ink"), soft = of("--soft"), line = of("--line");
  const words = { labelColor: soft, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
  return {
    background: "transparent",
    font: "system-ui, -apple-system, Segoe UI, sans-serif",
    view: { stroke: "transparent" },
    axis: { ...words, gridColor: line, domainColor: line, tickColor: line, labelLimit: 220 },
    legend: { ...words, symbolLimit: 60, labelLimit: 240 },
    header: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
    title: { color: ink },
  };
}

const LETTER = 6.6, SYMBOL = 34, AXIS = 75; // pixels of a legend's letter and symbol, and of what stands left of a view

// A legend has as many columns as fit its place, a row of small multiples as many charts.
function fitted(spec, width) {
  const parts = [spec, ...(spec.layer || []), ...(spec.spec ? [spec.spec, ...(spec.spec.layer || [])] : [])];
  for (const part of parts) {
    const color = part.encoding && part.encoding.color;
    const rows = (part.data || spec.data || {}).values || [];
    if (!color || !color.legend || !color.field) continue;
    const longest = Math.max(1, ...rows.map((row) => String(row[color.field]).length));
    const columns = Math.floor((width - AXIS) / (LETTER * longest + SYMBOL));
    color.legend.columns = Math.max(1, Math.min(color.legend.columns, columns));
  }
  const across = Math.max(1, Math.floor(width / ((spec.spec || spec).width + AXIS)));
  const facet = spec.encoding && spec.encoding.facet;
  if (facet) facet.columns = Math.min(facet.columns, across);
  if (spec.facet) spec.columns = Math.min(spec.columns, across);
  return spec;
}

function draw() {
  for (const script of document.querySelectorAll("script.spec")) {
    const place = document.getElementById(script.dataset.for);
    const options = { renderer: "svg", config: theme(), actions: false };
    window.vegaEmbed(place, fitted(JSON.parse(script.textContent), place.clientWidth), options).then(
      () => place.setAttribute("data-drawn", "yes"),
      (error) => { place.textContent = `This figure could not be drawn: ${error.message}`; },
    );
  }
}

draw();
dark.addEventListener("change", draw);
