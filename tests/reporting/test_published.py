"""Published results. Oracle: table 5 of the paper."""

from passerby.reporting.published import PublishedResult, load_published_results, load_published_source


def test_published_results_are_those_of_the_paper():
    market, duke = load_published_results("market1501"), load_published_results("dukemtmc")
    assert (len(market), len(duke)) == (16, 15)
    assert PublishedResult("OSNet", 94.8, 84.9) in market
    assert PublishedResult("ConvNeXt-AP (paper)", 88.2, 77.3) in duke
    assert max(row.mAP for row in market) == 86.5
    assert load_published_results("cuhk01") == []
    assert "table 5" in load_published_source()
