// SPDX-License-Identifier: Apache-2.0
"use strict";
// The part that changes is put in place; which table has the focus, and where tables are
// scrolled to, stays.
const put = (now, next) => {
  if (now.innerHTML === next.innerHTML) return;
  const tables = () => [...now.querySelectorAll(".scroll")];
  const before = tables(), focused = before.indexOf(document.activeElement);
  const places = before.map((t) => [t.scrollLeft, t.scrollTop]);
  now.innerHTML = next.innerHTML;
  tables().forEach((t, i) => { if (places[i]) [t.scrollLeft, t.scrollTop] = places[i]; });
  tables()[focused]?.focus({ preventScroll: true });
};
// Every two seconds, while somebody looks: the same page again.
const again = async () => {
  const stale = document.getElementById("stale");
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (answer.status === 503) return;
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = fresh.title;
    put(document.getElementById("status"), fresh.getElementById("status"));
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
};
setInterval(() => { if (!document.hidden) again(); }, 2000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
