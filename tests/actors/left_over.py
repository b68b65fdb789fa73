"""Prints what of pools is left in a cluster: `python -m tests.actors.left_over ADDRESS`."""

import sys

import ray
from ray.util.placement_group import placement_group_table

if __name__ == "__main__":
    ray.init(address=sys.argv[1], log_to_driver=False)
    actors = ray.util.list_named_actors(all_namespaces=True)
    groups = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
    print("left", len(actors) + len(groups), actors, groups)
