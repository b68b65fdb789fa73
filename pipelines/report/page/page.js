const calm = matchMedia("(prefers-reduced-motion: reduce)");
const watch = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) {
    if (!isIntersecting) target.pause();
    else if (!calm.matches) target.play().catch(() => {});
  }
}, { threshold: 0.3 });
for (const video of document.querySelectorAll("video")) watch.observe(video);
