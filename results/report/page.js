// SPDX-License-Identifier: Apache-2.0
"use strict";
// Everything can be read without this: it adds a filter of rows, words for single points, and opens what is folded before printing.
(function () {
  var tip = document.getElementById("tip");
  function say(words) {
    tip.textContent = words;
    tip.hidden = !words;
  }

  // Points of a strip: with the mouse the nearest, with the keyboard by the arrow keys.
  var hot = null;
  function show(row, i) {
    var points = row.querySelectorAll(".p"), words = row.dataset.points.split("|");
    if (hot) hot.classList.remove("hot");
    hot = null;
    if (i < 0 || i >= words.length) { say(""); return; }
    row.dataset.at = i;
    hot = points[i] || null;
    if (hot) hot.classList.add("hot");
    say(words[i]);
  }
  function nearest(row, event) {
    var best = -1, least = 40 * 40;
    row.querySelectorAll(".p").forEach(function (p, i) {
      var b = p.getBoundingClientRect(), x = b.left + b.width / 2 - event.clientX, y = b.top + b.height / 2 - event.clientY;
      if (x * x + y * y < least) { least = x * x + y * y; best = i; }
    });
    return best;
  }
  document.querySelectorAll("[data-points]").forEach(function (row) {
    row.addEventListener("mousemove", function (e) { show(row, nearest(row, e)); });
    row.addEventListener("mouseleave", function () { show(row, -1); });
    row.addEventListener("blur", function () { show(row, -1); });
    row.addEventListener("keydown", function (e) {
      var step = { ArrowRight: 1, ArrowLeft: -1 }[e.key], n = row.dataset.points.split("|").length;
      if (!step) return;
      var at = row.dataset.at === undefined ? (step > 0 ? -1 : n) : +row.dataset.at;
      show(row, Math.min(Math.max(at + step, 0), n - 1));
      e.preventDefault();
    });
  });
  document.querySelectorAll("g.p").forEach(function (g) {
    var words = g.getAttribute("aria-label");
    ["mouseenter", "focus"].forEach(function (t) { g.addEventListener(t, function () { say(words); }); });
    ["mouseleave", "blur"].forEach(function (t) { g.addEventListener(t, function () { say(""); }); });
  });

  // The filter: rows that have all of its words.
  var input = document.getElementById("filter"), shown = document.getElementById("shown");
  var rows = [].slice.call(document.querySelectorAll("main tbody tr, main .rows li"));
  document.querySelector(".filter").hidden = false;
  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), n = 0;
    rows.forEach(function (row) {
      var around = row.closest("figure, section.grid"), text = row.textContent.toLowerCase();
      if (around) text += " " + (around.getAttribute("aria-label") || around.querySelector("h3").textContent).toLowerCase();
      row.hidden = !words.every(function (w) { return text.indexOf(w) >= 0; });
      if (!row.hidden) n++;
    });
    shown.textContent = words.length ? n + " of " + rows.length + " rows" : "";
  });

  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not(.data)").forEach(function (d) { d.open = true; });
  });
})();
