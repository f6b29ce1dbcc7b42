"""What jobs ask for."""

from pipeline_lib.costs import memory_mb


def test_the_memory_of_an_extended_network_is_that_of_its_stem():
    plain = {"method": "a:ResNet", "width": 16}
    extended = {"method": "a:Outer", "width": 4, "network": {"method": "a:Inner", "network": plain}}
    assert memory_mb(extended, (8, 32, 32), 64, 1) == memory_mb(plain, (8, 32, 32), 64, 1)
    assert memory_mb(plain | {"width": 32}, (8, 32, 32), 64, 1) > memory_mb(plain, (8, 32, 32), 64, 1)
