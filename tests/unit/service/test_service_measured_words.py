"""Systems as tables of serving points name them."""

from datetime import date

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.service.measured import words
from exafleet.step.measured.cells import NotUsable

FACTS = load_facts(date(2026, 12, 1))


@pytest.mark.parametrize(("accelerator", "name", "found"), [
    ("H200 SXM", "HGX H200 8-GPU", "hgx-h200"), ("B200 SXM", "HGX B200 8-GPU", "hgx-b200"),
    ("GB200", "GB200 NVL72", "gb200-nvl72"), ("GB200", "Azure ND GB200 v6 (4-GPU VM)", "gb200-nvl72"),
    ("GB200", "", "gb200-nvl72"), ("GB300", "GB300 NVL72", "gb300-nvl72"),
    ("RTX PRO 6000 BSE", "PCIe server", "rtx-pro-6000-8"), ("A100 SXM 80GB", "HGX A100", "hgx-a100-80gb"),
    ("H800 SXM", "8-GPU H800 nodes, IB", "hgx-h800"), ("L40S", "L40S", "l40s-8"), ("GH200", "GH200", "gh200-96gb-1"),
    ("MI300X", "8x MI300X 750 W, dual EPYC 9554", "mi300x-8"), ("MI300X", "BM.GPU.MI300X.8", "mi300x-8"),
    ("MI355X", "8-GPU", "mi355x-8"), ("B200 SXM", "mi300x-8", "mi300x-8"),
])
def test_a_system_is_its_own_name_or_the_usual_one_of_its_accelerator(accelerator, name, found):
    assert words.system(FACTS, accelerator, name) == found


@pytest.mark.parametrize("accelerator", ["XPU-1", "", "H100 SXM and H200 SXM"])
def test_what_names_no_accelerator_says_so(accelerator):
    with pytest.raises(NotUsable):
        words.system(FACTS, accelerator, "a server")
