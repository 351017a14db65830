"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const shape = document.getElementById("shape");
  const block = document.getElementById("block");
  const views = new Map();

  // A finger that scrolls the page must not move a chart.
  const withoutZoom = (layer) => ({
    ...layer,
    ...(layer.params && { params: layer.params.filter((param) => param.name !== "zoom") }),
    ...(layer.layer && { layer: layer.layer.map(withoutZoom) }),
  });
  const touched = window.matchMedia("(pointer: coarse)").matches;

  const chosen = (name) =>
    study.charts.find(
      (found) =>
        found.name === name &&
        (!found.shape || found.shape === shape.value) &&
        (!found.block || found.block === block.value),
    );

  const draw = () => {
    for (const plot of document.querySelectorAll(".plot")) {
      const found = chosen(plot.dataset.chart);
      plot.closest(".card").hidden = !found;
      views.get(plot)?.then((drawn) => drawn.finalize());
      views.delete(plot);
      if (!found) continue;
      // `ast`: expressions are interpreted, for the page's policy forbids to compile them.
      const options = { ast: true, renderer: "svg", actions: false, defaultStyle: false };
      views.set(
        plot,
        vegaEmbed(plot, touched ? withoutZoom(found.chart) : found.chart, {
          ...options,
          config: study.theme,
          tooltip: { disableDefaultStyle: true },
        }),
      );
    }
    for (const row of document.querySelectorAll("tr[data-shape]")) {
      row.hidden = row.dataset.shape !== shape.value;
    }
  };

  // Vega shows tooltips where a mouse hovers: a tap stays on what it hit until the next one.
  let tapped = null;
  document.addEventListener("click", ({ target, clientX, clientY }) => {
    const tell = (type) =>
      tapped?.dispatchEvent(new PointerEvent(type, { bubbles: true, clientX, clientY }));
    tell("pointerout");
    tapped = target.closest(".plot svg") ? target : null;
    tell("pointermove");
  });

  for (const control of [shape, block]) control.addEventListener("change", draw);

  const copy = document.getElementById("copy");
  if (copy && navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById("command").textContent);
      copy.textContent = "copied";
    });
  }
  draw();
})();
