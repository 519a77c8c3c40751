/*
 * For browsers that cannot even read the page's modules: no module, and in the oldest JavaScript.
 * A page that has started says so in `data-started`.
 */
addEventListener("load", function () {
  if (document.documentElement.hasAttribute("data-started")) return;
  document.getElementById("too-old").removeAttribute("hidden");
});
