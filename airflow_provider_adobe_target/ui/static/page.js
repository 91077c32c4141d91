"use strict";

// The theme of Airflow, in whose page this one is a frame.
const root = document.documentElement;

function outerRoot() {
  try {
    return window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    return null; // another origin
  }
}

function isDark() {
  const outer = outerRoot();
  if (outer) return outer.classList.contains("dark");
  const theme = localStorage.getItem("theme");
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

root.classList.toggle("framed", outerRoot() !== null);
const applyTheme = () => root.classList.toggle("dark", isDark());
applyTheme();
if (outerRoot()) new MutationObserver(applyTheme).observe(outerRoot(), { attributes: true, attributeFilter: ["class"] });

// In Airflow 3.1 and 3.2, the frame may not start a download, but its parent may.
function downloadFromParent(link) {
  const copy = window.parent.document.createElement("a");
  copy.href = link.href;
  copy.download = "";
  window.parent.document.body.append(copy);
  copy.click();
  copy.remove();
}

// Links to Airflow's own pages: the frame may not navigate its parent, but it may use the parent's router.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-airflow], a[download]");
  if (!link || !outerRoot() || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.hasAttribute("download")) return downloadFromParent(link);
  window.parent.history.pushState({}, "", link.getAttribute("href"));
  window.parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
});
