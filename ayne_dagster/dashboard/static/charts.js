// Draws every element with data-chart by uPlot, in the colours of the style sheet; draws anew when these change.
"use strict";
(() => {
  const HEIGHT = 240, drawn = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const whole = new Intl.NumberFormat("en"), brief = new Intl.NumberFormat("en", { notation: "compact" });
  const day = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

  const shortDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const month = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });
  const powers = (_, splits) => splits.map((v) => (v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null));

  function axes(spec) {
    const money = (v) => (v === null ? "" : (spec.money ? "$" : "") + brief.format(v));
    const shared = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const x = { ...shared, grid: { show: false }, space: spec.time ? 72 : 48, size: 32 };
    if (spec.time) x.values = (_, splits, __, ___, step) => splits.map((v) => (step < 27 * 86400 ? shortDay : month).format(v * 1000));
    else x.values = (_, splits) => splits.map((v) => (spec.kind === "bars" ? String(v) : money(v)));
    if (spec.xLabel) Object.assign(x, { label: spec.xLabel, labelSize: 20, labelFont: "12px system-ui, sans-serif" });
    const y = { ...shared, size: 46, values: (_, splits) => splits.map((v) => (v === null ? "" : money(v))) };
    if (spec.logX) x.filter = powers;
    if (spec.logY) Object.assign(y, { filter: powers, grid: { ...shared.grid, filter: powers } });
    return [x, y];
  }

  function series(spec) {
    const shownX = (_, v) => (v === null ? "" : spec.time ? day(v) : whole.format(v));
    const shownY = (_, v) => (v === null || v === undefined ? "–" : whole.format(v));
    const rows = spec.series.map((one) => {
      const stroke = colour(one.colour), row = { label: one.label, stroke, width: 2, value: shownY, points: { show: false } };
      if (spec.kind === "bars") return { ...row, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [0.78, 40] }) };
      if (spec.kind === "points")
        return { ...row, paths: () => null, points: { show: true, size: 5, width: 0, fill: stroke + "99" } };
      return { ...row, fill: spec.series.length === 1 ? stroke + "22" : undefined, points: { show: spec.x.length < 15, size: 5 } };
    });
    return [{ label: spec.time ? "day" : spec.xLabel || "x", value: shownX }, ...rows];
  }

  function draw(element) {
    const spec = JSON.parse(element.dataset.chart);
    const fromZero = (_, low, high) => [Math.min(0, low || 0), (high || 1) * 1.05];
    const log = { distr: 3 };
    const y = spec.logY ? log : spec.kind === "points" ? {} : { range: fromZero };
    const half = spec.kind === "bars" && spec.x.length > 1 ? (spec.x[1] - spec.x[0]) / 2 : 0;
    const x = spec.logX ? { time: false, ...log } : { time: spec.time };
    if (half) x.range = (_, low, high) => [low - half, high + half];
    return new uPlot({
      width: element.clientWidth, height: HEIGHT, scales: { x, y }, axes: axes(spec), series: series(spec),
      legend: { show: spec.kind !== "points" }, cursor: { drag: { x: false, y: false }, show: spec.kind !== "points" },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      padding: [8, spec.time ? 32 : 20, 0, 0], // half of the last label, which stands in the middle below its tick
    }, [spec.x, ...spec.series.map((one) => one.values)], element);
  }

  function drawAll() {
    while (drawn.length) drawn.pop().destroy();
    for (const element of document.querySelectorAll("[data-chart]")) drawn.push(draw(element));
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = window.innerWidth, waiting = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => drawn.forEach((plot) => plot.setSize({ width: plot.root.parentElement.clientWidth, height: HEIGHT })), 120);
  });
})();
