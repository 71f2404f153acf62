// Find: a picture that is dropped or pasted, and a box in it by mouse, touch, arrow keys or numbers.
"use strict";

const MIN = 8; // pixels of a box that is drawn, so that a tap draws none

function startFind(form) {
  const input = find("input[type=file]", form);
  const stage = find("#stage");
  const image = find("img", stage);
  const frame = find(".box", stage);
  const numbers = [...form.querySelectorAll("input[name=box]")]; // left, top, width, height in pixels of the picture
  let start = null;

  find("#boxes").hidden = true; // until there is a picture
  const scale = () => image.clientWidth / image.naturalWidth;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const read = () => numbers.map((field) => (field.value === "" ? NaN : Number(field.value)));

  function showBox() {
    const box = read();
    const whole = box.some(Number.isNaN);
    frame.classList.toggle("whole", whole);
    const shown = whole ? [0, 0, image.naturalWidth, image.naturalHeight] : box;
    ["left", "top", "width", "height"].forEach((side, i) => (frame.style[side] = `${shown[i] * scale()}px`));
  }

  function setBox(left, top, width, height) {
    const [wide, high] = [image.naturalWidth, image.naturalHeight];
    const x = clamp(Math.round(left), 0, wide - 1);
    const y = clamp(Math.round(top), 0, high - 1);
    const box = [x, y, clamp(Math.round(width), 1, wide - x), clamp(Math.round(height), 1, high - y)];
    numbers.forEach((field, i) => (field.value = box[i]));
    showBox();
  }

  function clearBox() {
    for (const field of numbers) field.value = "";
    showBox();
  }

  function show() {
    if (!input.files.length) return;
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(input.files[0]);
    stage.hidden = find("#hint").hidden = find("#whole").hidden = false;
    find("#boxes").hidden = false;
    find("#boxes").open = true;
    image.onload = () => {
      clearBox();
      find("#search").focus();
    };
    image.onerror = () => (stage.hidden = true); // the service names what is wrong with it
  }

  const place = (event) => {
    const edge = image.getBoundingClientRect();
    return [(event.clientX - edge.left) / scale(), (event.clientY - edge.top) / scale()];
  };
  stage.addEventListener("pointerdown", (event) => {
    start = place(event);
    stage.setPointerCapture(event.pointerId);
    event.preventDefault();
    frame.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    if (!start) return;
    const end = place(event).map((value, i) => clamp(value, 0, i ? image.naturalHeight : image.naturalWidth));
    const size = end.map((value, i) => Math.abs(value - start[i]));
    if (Math.max(...size) >= MIN) setBox(Math.min(start[0], end[0]), Math.min(start[1], end[1]), ...size);
  });
  for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => (start = null));
  frame.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [wide, high] = [image.naturalWidth, image.naturalHeight];
    let box = read();
    if (box.some(Number.isNaN)) box = [wide / 4, high / 4, wide / 2, high / 2];
    const unit = Math.max(Math.round(Math.max(wide, high) / 100), 1);
    const moved = step.map((value) => value * unit);
    if (event.shiftKey) setBox(box[0], box[1], box[2] + moved[0], box[3] + moved[1]);
    else setBox(clamp(box[0] + moved[0], 0, wide - box[2]), clamp(box[1] + moved[1], 0, high - box[3]), box[2], box[3]);
  });
  for (const field of numbers) field.addEventListener("input", () => image.naturalWidth && showBox());
  find("#whole").addEventListener("click", clearBox);
  window.addEventListener("resize", () => image.naturalWidth && showBox());

  const take = (event, files) => {
    if (!files.length) return;
    event.preventDefault();
    const transfer = new DataTransfer();
    transfer.items.add(files[0]);
    input.files = transfer.files;
    show();
  };
  input.addEventListener("change", show);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => take(event, event.dataTransfer.files));
  document.addEventListener("paste", (event) => take(event, event.clipboardData.files));
  show(); // a browser may keep the file when it goes back

  const query = find("#query");
  const picture = find("input[name=picture]", form);
  if (query && picture?.value) {
    const bytes = Uint8Array.from(atob(picture.value), (letter) => letter.charCodeAt(0));
    query.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    query.hidden = false;
  }
}

startFind(find("#find"));
