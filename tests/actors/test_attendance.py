from actors.attendance import Attendance


def test_a_client_not_heard_of_for_too_long_is_gone() -> None:
    attendance = Attendance(timeout_s=15, now=0)
    attendance.hear("a", "driver", now=1)
    attendance.expire(now=16)
    assert attendance.is_here("driver")
    attendance.expire(now=16.5)
    assert not attendance.is_here("driver")


def test_a_driver_is_here_as_long_as_one_of_its_clients_is() -> None:
    attendance = Attendance(timeout_s=15, now=0)
    attendance.hear("a", "driver", now=1)
    attendance.hear("b", "driver", now=1)
    attendance.leave("a")
    assert attendance.is_here("driver")
    attendance.leave("b")
    assert not attendance.is_here("driver")


def test_a_pool_is_deserted_when_its_last_client_has_left() -> None:
    attendance = Attendance(timeout_s=15, now=0)
    attendance.hear("a", "driver", now=1)
    assert not attendance.deserted(now=2, met=True)
    attendance.leave("a")
    assert attendance.deserted(now=2, met=True)


def test_a_pool_waits_for_its_first_client_as_long_as_for_a_lost_one() -> None:
    attendance = Attendance(timeout_s=15, now=0)
    assert not attendance.deserted(now=14, met=False)
    assert attendance.deserted(now=16, met=False)
