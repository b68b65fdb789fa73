"""What `pabcast doctor` looks at: versions, GPUs, Ray, stores, codecs, memory and disks; a file for each."""
