// uPlot formats numbers for `navigator.language` as soon as it is loaded. WebKit on Linux says "C" there for a
// system without a locale, which is no language tag (BCP 47), so that uPlot would throw, and there were no plots.
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}
