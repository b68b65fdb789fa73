// Without it every video has its controls, and waits for a click.
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const watch = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (isIntersecting) target.play().catch(() => { target.controls = true; });
    else target.pause();
  }
}, { threshold: 0.3 });
for (const video of calm ? [] : document.querySelectorAll("video")) {
  video.controls = false;
  video.tabIndex = 0;
  for (const event of ["pointerenter", "focus"]) video.addEventListener(event, () => { video.controls = true; });
  for (const event of ["pointerleave", "blur"]) video.addEventListener(event, () => { video.controls = false; });
  watch.observe(video);
}
