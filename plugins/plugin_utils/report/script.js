// SPDX-License-Identifier: GPL-3.0-or-later
//
// Filters, the switch between light and dark, and printing one sheet. Without it the page shows everything.
"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);

  // "0-2,7" is hosts 0, 1, 2 and 7.
  const indexes = (text) => (text ? text.split(",") : []).flatMap((run) => {
    const [first, last = first] = run.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_item, offset) => first + offset);
  });
  const withHosts = (elements) => elements.map((element) => ({ element, on: indexes(element.dataset.on) }));

  const rows = all("#hosts tbody tr");
  const hosts = rows.map((row) => `${row.dataset.name} ${row.dataset.roles}`.toLowerCase());
  const isHost = rows.map((row) => !("cluster" in row.dataset));
  const hostRows = withHosts(all("#hosts tbody tr, #certificates tbody tr"));
  const columns = withHosts(all(".matrix thead th[data-on]"));
  const bodies = all(".matrix tbody").map((body) => ({
    element: body,
    rows: all("tr[data-severity]", body).map((row) => ({ element: row, cells: Array.from(row.cells).slice(2, -1) })),
  }));
  const verdicts = all(".verdict").map((section) => ({
    element: section,
    controls: all("details", section).map((details) => ({
      element: details, groups: withHosts(all(".group", details)),
    })),
  }));
  const total = verdicts.reduce((sum, verdict) => sum + verdict.controls.length, 0);

  const boxes = all("#filters input[type=checkbox]");
  const framework = byId("framework");
  const host = byId("host");

  const checked = (name) => new Set(boxes.filter((box) => box.name === name && box.checked).map((box) => box.value));

  const apply = () => {
    const statuses = checked("status");
    const severities = checked("severity");
    const text = host.value.trim().toLowerCase().replaceAll(" ", "_");
    const wanted = hosts.map((words) => words.includes(text));
    // What belongs to no host that is known is shown as long as none is asked for.
    const has = (on) => text === "" || on.some((index) => wanted[index]);
    const fits = (element) => severities.has(element.dataset.severity)
      && (framework.value === "" || element.dataset.frameworks.split(" ").includes(framework.value));

    for (const { element, on } of hostRows) element.hidden = !has(on);
    const visible = columns.map(({ element, on }) => {
      element.hidden = !has(on);
      return !element.hidden;
    });
    for (const { element: body, rows } of bodies) {
      let any = false;
      for (const { element: row, cells } of rows) {
        let judged = false;
        let found = false;
        cells.forEach((cell, place) => {
          cell.hidden = !visible[place];
          judged ||= visible[place] && cell.className !== "";
          found ||= visible[place] && statuses.has(cell.className);
        });
        row.hidden = !fits(row) || !(found || (!judged && statuses.size === 6 && text === ""));
        any ||= !row.hidden;
      }
      body.hidden = !any;
    }
    let shown = 0;
    for (const { element: section, controls } of verdicts) {
      let any = false;
      for (const { element: details, groups } of controls) {
        let found = groups.length === 0 && statuses.size === 6 && text === "";
        for (const { element: group, on } of groups) {
          group.hidden = !(statuses.has(group.dataset.status) && has(on));
          found ||= !group.hidden;
        }
        details.hidden = !(found && fits(details));
        any ||= !details.hidden;
        shown += details.hidden ? 0 : 1;
      }
      section.hidden = !any;
    }
    const count = wanted.filter((is, index) => is && isHost[index]).length;
    byId("shown").textContent
      = `${shown} of ${total} controls on ${count} of ${isHost.filter(Boolean).length} hosts`;
  };

  const reset = () => {
    for (const box of boxes) box.checked = true;
    framework.value = "";
    host.value = "";
    apply();
  };

  // A link to evidence shows it even where a filter has hidden it.
  const reveal = () => {
    const target = location.hash.length > 1 ? byId(location.hash.slice(1)) : null;
    if (!(target instanceof HTMLDetailsElement)) return;
    if (target.hidden) reset();
    target.open = true;
    target.querySelector("summary").focus({ preventScroll: true });
    target.scrollIntoView();
  };

  const scheme = byId("scheme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.scheme ?? (dark.matches ? "dark" : "light")) === "dark";
  const tellScheme = () => scheme.setAttribute("aria-pressed", String(isDark()));
  scheme.addEventListener("click", () => {
    document.documentElement.dataset.scheme = isDark() ? "light" : "dark";
    tellScheme();
  });
  dark.addEventListener("change", tellScheme);

  for (const button of all("button.print")) {
    button.addEventListener("click", () => {
      const sheet = button.closest(".sheet");
      document.documentElement.classList.add("one-sheet");
      sheet.classList.add("this");
      window.print();
      document.documentElement.classList.remove("one-sheet");
      sheet.classList.remove("this");
    });
  }

  for (const input of [...boxes, framework]) input.addEventListener("change", apply);
  host.addEventListener("input", apply);
  byId("reset").addEventListener("click", reset);
  byId("open-all").addEventListener("click", () => {
    for (const details of all(".control:not([hidden])")) details.open = true;
  });
  byId("close-all").addEventListener("click", () => {
    for (const details of all(".control")) details.open = false;
  });
  window.addEventListener("hashchange", reveal);
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    // Following the same link twice changes no address.
    if (link && link.hash === location.hash) reveal();
  });

  for (const element of all("#scheme, #filters, .buttons")) element.hidden = false;
  tellScheme();
  apply();
  reveal();
})();
