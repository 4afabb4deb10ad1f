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

function draw() {
  for (const script of document.querySelectorAll("script.spec")) {
    const place = document.getElementById(script.dataset.for);
    const options = { renderer: "svg", config: theme(), actions: false };
    window.vegaEmbed(place, JSON.parse(script.textContent), options).then(
      () => place.setAttribute("data-drawn", "yes"),
      (error) => { place.textContent = `This figure could not be drawn: ${error.message}`; },
    );
  }
}

draw();
dark.addEventListener("change", draw);
