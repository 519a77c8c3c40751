/*
 * For browsers that cannot even read the page's modules: no module, and in the oldest JavaScript.
 * A page that has started says so in `data-started`.
 */
addEventListener("load", function () {
  if (document.documentElement.hasAttribute("data-started")) return;
  var line = document.createElement("p");
  line.id = "too-old";
  line.setAttribute("role", "alert");
  line.textContent = "This browser is too old for this page, or could not load it. Reload it; if "
    + "that does not help, update the browser, or use a current Chrome, Edge, Firefox or Safari.";
  document.body.insertBefore(line, document.body.firstChild);
});
