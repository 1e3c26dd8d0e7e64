module kubeharden.invalid/verifier

// Kubernetes 1.36 and 1.37 and etcd 3.7 are built with these defaults: an older version here would bring back what it forgave.
go 1.26
