for (const source of document.querySelectorAll("script.figure")) {
  const figure = JSON.parse(source.textContent);
  Plotly.newPlot(source.previousElementSibling, figure.data, figure.layout, {
    displayModeBar: false,
    responsive: true,
  });
}
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
