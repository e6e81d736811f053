// What a reader does to a scan's report; what comes of it is left in the page as JSON.
const seen = {errors: []};
addEventListener("error", (event) => seen.errors.push(event.message));
addEventListener("DOMContentLoaded", () => {
  const find = (id) => document.getElementById(id), title = () => find("title").textContent;
  const press = (key) => find("stage").dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const hidden = (layer) => getComputedStyle(document.querySelector(`#view .layer-${layer}`)).display === "none";
  seen.first = title();
  find("slice").value = 2; find("slice").dispatchEvent(new Event("input")); seen.slider = title();
  press("ArrowRight"); seen.right = title();
  press("Home"); seen.home = title();
  press("End"); seen.end = title();
  find("stage").dispatchEvent(new WheelEvent("wheel", {deltaY: -100, cancelable: true})); seen.wheel = title();
  find("before").click(); seen.button = title();
  seen.core = [hidden("core")]; find("show-core").click(); seen.core.push(hidden("core"));
  press("4"); seen.core.push(hidden("core"));
  find("slice").dispatchEvent(new KeyboardEvent("keydown", {key: "4", bubbles: true}));
  seen.fromSlider = hidden("core"); press("4");
  press("0"); seen.all = ["myocardium", "gray_zone", "core"].map(hidden); press("0");
  find("centre").value = Number(find("centre").min); find("centre").dispatchEvent(new Event("input"));
  seen.level = find("levels").textContent; find("reset").click(); seen.reset = find("levels").textContent;
  find("theme").click(); seen.theme = document.documentElement.dataset.theme;
  seen.now = find("now").textContent;
  // What the picture is taken of: no image, and the wall alone, filled.
  press("0"); find("show-core").click();
  document.querySelectorAll("#view image, #scale, .corner").forEach((part) => { part.style.display = "none"; });
  if (!document.querySelector(".hide-myocardium")) press("0");
  ["blood_pool", "gray_zone", "core", "expert_myocardium", "expert_enhancement"].forEach((layer) =>
    document.querySelectorAll(`#view .layer-${layer}`).forEach((path) => path.remove()));
  const wall = document.querySelector("#view .layer-myocardium");
  find("show-myocardium").checked || find("show-myocardium").click();
  wall.style.fill = "#00ff00"; wall.style.stroke = "none";
  find("zoom").click();
  const box = find("view").getBoundingClientRect();
  seen.view = [box.left, box.top, box.width, box.height];
  seen.slice = Number(find("slice").value);
  seen.wide = document.documentElement.scrollWidth - innerWidth;
  const note = document.createElement("pre"); note.id = "seen"; note.hidden = true;
  note.textContent = JSON.stringify(seen); document.body.append(note);
});
