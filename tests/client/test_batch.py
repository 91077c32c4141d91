from airflow_provider_adobe_target.client.batch import batch_id_of


def test_the_batch_id_is_the_one_the_url_names():
    assert batch_id_of("https://e/m2/acme/profile/batchStatus?m2Node=0&batchId=acme-1-1&x=y") == "acme-1-1"
    assert batch_id_of("https://e.net/m2/status/7") == "e.net/m2/status/7"
