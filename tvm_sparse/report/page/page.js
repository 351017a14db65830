"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 36rem)");
  const shape = document.getElementById("shape");
  const block = document.getElementById("block");

  // Everything of a layout that depends on the reader's screen; the charts' own part is merged in.
  const screenLayout = () => {
    const text = dark.matches ? "#e4e7eb" : "#1b1f24";
    const line = dark.matches ? "#363c45" : "#d8dde3";
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: text, size: narrow.matches ? 11 : 13, family: "system-ui, sans-serif" },
      hoverlabel: { bgcolor: dark.matches ? "#1d2127" : "#ffffff", font: { color: text } },
      margin: { l: 20, r: 12, t: 16, b: 20 },
      legend: { orientation: "h", yanchor: "bottom", y: 1.02, x: 0, xanchor: "left" },
      // A finger that scrolls the page must not zoom a chart.
      dragmode: narrow.matches ? false : "zoom",
      xaxis: { ...axis, autotickangles: [0, -45, -90] },
      yaxis: axis,
    };
  };

  const merge = (base, extra) => {
    const merged = { ...base };
    for (const [key, value] of Object.entries(extra)) {
      const nested = value && typeof value === "object" && !Array.isArray(value);
      merged[key] = nested ? merge(base[key] || {}, value) : value;
    }
    return merged;
  };

  const choose = (figures) => {
    let found = figures;
    if (found.by_shape) found = found.by_shape[shape ? shape.value : 0];
    if (found && found.by_block) found = found.by_block[block ? block.value : 0];
    return found;
  };

  const draw = () => {
    for (const plot of document.querySelectorAll(".plot")) {
      const figure = choose(study.figures[plot.dataset.chart]);
      const empty = !figure || figure.data.length === 0;
      plot.closest(".card").hidden = empty;
      if (empty) continue;
      const layout = merge(screenLayout(), structuredClone(figure.layout));
      Plotly.react(plot, structuredClone(figure.data), layout, {
        responsive: true,
        displayModeBar: false,
      });
    }
    for (const row of document.querySelectorAll("tr[data-shape]")) {
      row.hidden = Boolean(shape) && row.dataset.shape !== shape.value;
    }
  };

  for (const control of [shape, block]) if (control) control.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);

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
