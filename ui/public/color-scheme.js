// Sets the colour scheme before the first paint, so that a dark page never flashes white.
// The key and the attribute are those of Mantine's colour scheme manager.
(() => {
  let stored = null;
  try {
    stored = window.localStorage.getItem("mantine-color-scheme-value");
  } catch {
    // Storage may be blocked; the system's preference is then all there is.
  }
  const system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const scheme = stored === "light" || stored === "dark" ? stored : system;
  document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
})();
