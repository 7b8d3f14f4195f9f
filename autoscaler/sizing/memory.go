package sizing

// Memory is what one policy decided and did lately. Its zero value is empty. It is not safe for concurrent use.
type Memory struct{}
