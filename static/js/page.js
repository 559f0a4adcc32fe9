// What every page needs: live updates, theme without a reload, copy buttons, toasts that leave, menus that close.
import { startCopyButtons } from "./copy.js";
import { startLive } from "./live.js";
import { startTheme } from "./theme.js";

const TOAST_MS = 6000;

function closeMenusOutside(event) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
}

function closeMenuByKey(event) {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
}

// Successes leave by themselves; what went wrong stays until the page changes.
function letToastsLeave(root) {
  for (const toast of root.querySelectorAll("[data-toast]:not(.bad)")) setTimeout(() => toast.remove(), TOAST_MS);
}

// On a narrow screen the present one of many places may be beyond the edge.
function showPresentPlace() {
  const row = document.querySelector(".places .tabs");
  const here = row?.querySelector("[aria-current]");
  if (here) row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.clientWidth) / 2;
}

// A form that was refused may stand far below the top of its page.
function showWhatIsWrong() {
  document.querySelector("[data-form-errors]")?.focus();
}

document.addEventListener("click", closeMenusOutside);
document.addEventListener("keydown", closeMenuByKey);
document.addEventListener("htmx:beforeSwap", (event) => {
  // A refused form comes back as 422 with its errors beside the fields; other refusals say where they are shown.
  const { xhr } = event.detail;
  if (xhr.status === 422 || xhr.getResponseHeader("HX-Retarget")) Object.assign(event.detail, { shouldSwap: true, isError: false });
});
letToastsLeave(document);
showPresentPlace();
showWhatIsWrong();
startTheme();
startCopyButtons();
startLive();
